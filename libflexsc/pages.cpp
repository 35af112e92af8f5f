// SPDX-License-Identifier: MIT
#include "pages.hpp"

#include <sys/mman.h>
#include <sys/syscall.h>

#include <cerrno>
#include <system_error>

namespace flexsc::detail {

namespace {
void* map(int fd, std::size_t bytes, int flags) {
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (address == MAP_FAILED) {
    throw std::system_error(errno, std::generic_category(), "cannot map the system-call pages");
  }
  return address;
}
}  // namespace

Mapping Mapping::anonymous(std::size_t bytes) {
  return {map(-1, bytes, MAP_PRIVATE | MAP_ANONYMOUS), bytes};
}

Mapping Mapping::shared(int fd, std::size_t bytes) {
  return {map(fd, bytes, MAP_SHARED), bytes};
}

Mapping::~Mapping() {
  if (address_ != nullptr) munmap(address_, bytes_);
}

Descriptor::~Descriptor() {
  if (fd_ >= 0) execute(make_call(SYS_close, fd_));
}

}  // namespace flexsc::detail
