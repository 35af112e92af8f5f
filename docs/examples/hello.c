/* SPDX-License-Identifier: MIT */
/* Prints hello, and a worker of the kernel module makes the write() for it. */
#include <fcntl.h>
#include <flexsc/uapi.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
  struct flexsc_pool_params pool = {.size = sizeof pool};
  struct flexsc_client_params params = {.size = sizeof params, .nr_pages = 1};
  int group = open(FLEXSC_DEVICE, O_RDWR | O_CLOEXEC);
  if (group < 0 || ioctl(group, FLEXSC_IOC_POOL_CREATE, &pool) < 0) return perror("flexsc"), 1;
  int client = ioctl(group, FLEXSC_IOC_CLIENT_CREATE, &params);
  struct flexsc_client_header* header = mmap(NULL, FLEXSC_HEADER_BYTES + FLEXSC_PAGE_BYTES,
                                             PROT_READ | PROT_WRITE, MAP_SHARED, client, 0);
  if (header == MAP_FAILED) return perror("flexsc client"), 1;
  struct flexsc_entry* entry = (struct flexsc_entry*)((char*)header + FLEXSC_HEADER_BYTES);
  *entry = (struct flexsc_entry){.nr = SYS_write, .args = {1, (__u64) "hello\n", 6}};
  __atomic_fetch_or(&header->submission[0].page[0], 1, __ATOMIC_SEQ_CST);
  __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the bit before the look at need_doorbell */
  if (__atomic_load_n(&header->need_doorbell[0].value, __ATOMIC_RELAXED))
    lseek(client, FLEXSC_CMD(FLEXSC_CMD_DOORBELL, 0), SEEK_SET);
  while (!(__atomic_load_n(&header->completion.page[0], __ATOMIC_ACQUIRE) & 1))
    if (lseek(client, FLEXSC_CMD(FLEXSC_CMD_WAIT, FLEXSC_WAIT(0, 1, FLEXSC_WAIT_FOREVER)),
              SEEK_SET) < 0)
      return perror("flexsc wait"), 1;
  return entry->result == 6 ? 0 : 1;
}
