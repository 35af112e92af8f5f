// SPDX-License-Identifier: MIT
// Making and mapping clients.
#include <sys/mman.h>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class ClientSetup : public GuestTest {
 protected:
  static long create(const Group& group, __u32 pages) {
    flexsc_client_params params{};
    params.size = sizeof params;
    params.nr_pages = pages;
    return control(group.fd(), FLEXSC_IOC_CLIENT_CREATE, &params);
  }
  static long map(int fd, std::size_t bytes, int prot, int flags, off_t at = 0) {
    void* base = ::mmap(nullptr, bytes, prot, flags, fd, at);
    if (base == MAP_FAILED) return -errno;
    ::munmap(base, bytes);
    return 0;
  }
};

constexpr int kReadWrite = PROT_READ | PROT_WRITE;

TEST_F(ClientSetup, PageCountIsChecked) {
  const Group group;
  EXPECT_EQ(create(group, 0), -EINVAL);
  EXPECT_EQ(create(group, FLEXSC_MAX_PAGES + 1), -EINVAL);
  EXPECT_EQ(create(group, 0xffffffff), -EINVAL);
  const Fd one(static_cast<int>(create(group, 1)));
  const Fd most(static_cast<int>(create(group, FLEXSC_MAX_PAGES)));
  EXPECT_GE(one.get(), 0);
  EXPECT_GE(most.get(), 0);
}

TEST_F(ClientSetup, HeaderIsWrittenBeforeItCanBeMapped) {
  const Group group;
  ASSERT_EQ(group.create_pool(), 0);
  for (const unsigned pages : {1U, 3U, unsigned{FLEXSC_MAX_PAGES}}) {
    const Client client(group, pages);
    const flexsc_client_header& header = client.header();
    EXPECT_EQ(header.abi_version, __u32{FLEXSC_ABI_VERSION});
    EXPECT_EQ(header.header_bytes, __u32{FLEXSC_HEADER_BYTES});
    EXPECT_EQ(header.nr_pages, pages);
    EXPECT_EQ(header.features & FLEXSC_FEATURE_FLUSH, FLEXSC_FEATURE_FLUSH);
    EXPECT_EQ(client.state(), __u32{FLEXSC_STATE_OPEN});
    for (unsigned page = 0; page < FLEXSC_MAX_PAGES; ++page) {
      ASSERT_EQ(header.completion.page[page], 0U);
      for (const flexsc_words& words : header.submission) ASSERT_EQ(words.page[page], 0U);
    }
  }
}

// New pages come zeroed: nothing of the kernel or of an earlier client shows through.
TEST_F(ClientSetup, PagesComeZeroed) {
  const Group group;
  for (int round = 0; round < 8; ++round) {
    const Client client(group, 4);
    auto* bytes = static_cast<unsigned char*>(client.base());
    for (std::size_t i = FLEXSC_HEADER_BYTES; i < client.bytes(); ++i) ASSERT_EQ(bytes[i], 0) << i;
    std::fill(bytes + FLEXSC_HEADER_BYTES, bytes + client.bytes(),
              static_cast<unsigned char>(0xa5));
  }
}

TEST_F(ClientSetup, NeedDoorbellStartsAtOne) {
  const Group group;
  const Client client(group);
  for (const flexsc_line& line : client.header().need_doorbell) EXPECT_EQ(line.value, 1U);
}

TEST_F(ClientSetup, MappingMustBeExactSharedAndNotExecutable) {
  const Group group;
  const Fd client(static_cast<int>(create(group, 2)));
  constexpr std::size_t kBytes = FLEXSC_HEADER_BYTES + 2 * FLEXSC_PAGE_BYTES;
  EXPECT_EQ(map(client.get(), kBytes, kReadWrite, MAP_SHARED), 0);
  EXPECT_EQ(map(client.get(), kBytes - 4096, kReadWrite, MAP_SHARED), -EINVAL);
  EXPECT_EQ(map(client.get(), kBytes + 4096, kReadWrite, MAP_SHARED), -EINVAL);
  EXPECT_EQ(map(client.get(), 4096, kReadWrite, MAP_SHARED), -EINVAL);
  EXPECT_EQ(map(client.get(), kBytes - 4096, kReadWrite, MAP_SHARED, 4096), -EINVAL);
  EXPECT_EQ(map(client.get(), kBytes, kReadWrite, MAP_SHARED, 4096), -EINVAL);
  EXPECT_EQ(map(client.get(), kBytes, kReadWrite, MAP_PRIVATE), -EINVAL);
  const long executable = map(client.get(), kBytes, kReadWrite | PROT_EXEC, MAP_SHARED);
  EXPECT_TRUE(executable == -EPERM || executable == -EINVAL) << executable;
  EXPECT_EQ(map(client.get(), kBytes, kReadWrite, MAP_SHARED), 0) << "once more after failures";
}

TEST_F(ClientSetup, GroupDescriptorHasNothingToMap) {
  const Group group;
  EXPECT_LT(map(group.fd(), 4096, kReadWrite, MAP_SHARED), 0);
}

TEST_F(ClientSetup, MappingCannotBecomeExecutableOrGrow) {
  const Rig rig;
  EXPECT_EQ(::mprotect(rig.client.base(), rig.client.bytes(), kReadWrite | PROT_EXEC), -1);
  EXPECT_EQ(errno, EACCES);
  void* grown =
      ::mremap(rig.client.base(), rig.client.bytes(), rig.client.bytes() * 2, MREMAP_MAYMOVE);
  EXPECT_EQ(grown, MAP_FAILED);
  EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
}

TEST_F(ClientSetup, ClientsBeyondTheMaximumAreRefused) {
  const Group group;
  std::vector<Fd> clients;
  for (unsigned i = 0; i < FLEXSC_MAX_CLIENTS; ++i) {
    clients.emplace_back(static_cast<int>(create(group, 1)));
    ASSERT_GE(clients.back().get(), 0) << i;
  }
  EXPECT_EQ(create(group, 1), -ENOSPC);
  clients.erase(clients.begin() + 7);
  const Fd again(static_cast<int>(create(group, 1)));
  EXPECT_GE(again.get(), 0) << "a place that became free is used again";
  EXPECT_EQ(create(group, 1), -ENOSPC);
}

TEST_F(ClientSetup, DescriptorIsCloseOnExec) {
  const Group group;
  const Client client(group);
  EXPECT_EQ(::fcntl(client.fd(), F_GETFD), FD_CLOEXEC);
}

TEST_F(ClientSetup, ClientBeforePoolServesFlushOnly) {
  const Group group;
  const Client client(group);
  EXPECT_EQ(client.doorbell(), -EINVAL) << "there is no pool";
  EXPECT_EQ(client.run_flushed(call(SYS_getppid)), ::getppid());
  client.fill(0, 1, call(SYS_getppid));
  EXPECT_EQ(client.submit(0, 2), -EINVAL) << "need_doorbell is set, and ringing fails";
  ASSERT_EQ(group.create_pool(), 0);
  // The call that waited is found, at the latest when the doorbell rings.
  EXPECT_EQ(client.doorbell(), 0);
  EXPECT_EQ(client.await(0, 1), ::getppid());
}

TEST_F(ClientSetup, DoorbellOfAPoolThatDoesNotExist) {
  const Rig rig;
  for (const unsigned pool : {1U, 7U, 8U, 64U, 0xffffffffU}) {
    EXPECT_EQ(rig.client.doorbell(pool), -EINVAL) << pool;
  }
}

TEST_F(ClientSetup, ClientsComeAndGoBesideARunningOne) {
  const Rig rig;
  for (int i = 0; i < 200; ++i) {
    const Client other(rig.group, 1 + static_cast<unsigned>(i) % 4);
    ASSERT_EQ(other.run(SYS_getpid), ::getpid());
    ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
  }
}

}  // namespace
}  // namespace flexsc_guest
