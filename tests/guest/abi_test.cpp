// SPDX-License-Identifier: MIT
// The ioctl conventions: struct sizes, unknown commands and flags, bad pointers.
#include <array>
#include <cstring>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class Abi : public GuestTest {};

/// A struct with room for fields that do not exist yet.
template <class T>
struct Grown {
  T known{};
  std::array<__u64, 4> unknown{};
};

template <class T>
T sized(std::size_t size = sizeof(T)) {
  T params{};
  params.size = static_cast<__u32>(size);
  return params;
}

TEST_F(Abi, QueryTellsWhatTheModuleIs) {
  const Group group;
  auto query = sized<flexsc_query>();
  ASSERT_EQ(control(group.fd(), FLEXSC_IOC_QUERY, &query), 0);
  EXPECT_EQ(query.abi_version, __u32{FLEXSC_ABI_VERSION});
  EXPECT_EQ(query.features & (FLEXSC_FEATURE_FLUSH | FLEXSC_FEATURE_WAIT_SOME),
            FLEXSC_FEATURE_FLUSH | FLEXSC_FEATURE_WAIT_SOME);
  EXPECT_EQ(query.max_pages, __u32{FLEXSC_MAX_PAGES});
  EXPECT_EQ(query.max_clients, __u32{FLEXSC_MAX_CLIENTS});
  EXPECT_GE(query.max_pools, 1U);
  EXPECT_LE(query.max_pools, __u32{FLEXSC_MAX_POOLS});
  EXPECT_GE(query.max_workers, 2U);
}

TEST_F(Abi, ShorterQueryIsFilledOnlyAsFarAsItGoes) {
  const Group group;
  std::array<unsigned char, sizeof(flexsc_query)> bytes{};
  bytes.fill(0xa5);
  const __u32 size = 8;
  std::memcpy(bytes.data(), &size, sizeof size);
  ASSERT_EQ(control(group.fd(), FLEXSC_IOC_QUERY, bytes.data()), 0);
  __u32 version = 0;
  std::memcpy(&version, bytes.data() + 4, sizeof version);
  EXPECT_EQ(version, __u32{FLEXSC_ABI_VERSION});
  for (std::size_t i = size; i < bytes.size(); ++i) ASSERT_EQ(bytes[i], 0xa5) << "byte " << i;
}

TEST_F(Abi, LongerStructNeedsAZeroTail) {
  const Group group;
  Grown<flexsc_query> query{sized<flexsc_query>(sizeof(Grown<flexsc_query>))};
  EXPECT_EQ(control(group.fd(), FLEXSC_IOC_QUERY, &query), 0);
  EXPECT_EQ(query.known.max_pages, __u32{FLEXSC_MAX_PAGES});
  query = {sized<flexsc_query>(sizeof query)};
  query.unknown[3] = __u64{1} << 63;
  EXPECT_EQ(control(group.fd(), FLEXSC_IOC_QUERY, &query), -E2BIG);

  Grown<flexsc_client_params> params{
      sized<flexsc_client_params>(sizeof(Grown<flexsc_client_params>))};
  params.known.nr_pages = 1;
  params.unknown[0] = 1;
  EXPECT_EQ(control(group.fd(), FLEXSC_IOC_CLIENT_CREATE, &params), -E2BIG);
  params.unknown[0] = 0;
  const Fd client(static_cast<int>(control(group.fd(), FLEXSC_IOC_CLIENT_CREATE, &params)));
  EXPECT_GE(client.get(), 0);
}

TEST_F(Abi, ShorterStructGetsDefaults) {
  const Rig rig;
  // Up to min_complete: the timeout it lacks is 0.
  auto wait = sized<flexsc_wait>(16);
  wait.timeout_ns = -1;
  EXPECT_EQ(control(rig.client.fd(), FLEXSC_IOC_WAIT, &wait), 0);
  wait.min_complete = 1;
  const long result = control(rig.client.fd(), FLEXSC_IOC_WAIT, &wait);
  EXPECT_TRUE(result == 0 || result == -ETIME) << result;
}

TEST_F(Abi, SizeZeroIsInvalid) {
  const Rig rig;
  flexsc_query query{};
  flexsc_policy policy{};
  flexsc_pool_params pool{};
  flexsc_client_params client{};
  flexsc_stats stats{};
  flexsc_wait wait{};
  client.nr_pages = 1;
  EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_QUERY, &query), -EINVAL);
  EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_POLICY, &policy), -EINVAL);
  EXPECT_EQ(control(Group().fd(), FLEXSC_IOC_POOL_CREATE, &pool), -EINVAL);
  EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_CLIENT_CREATE, &client), -EINVAL);
  EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_STATS, &stats), -EINVAL);
  EXPECT_EQ(control(rig.client.fd(), FLEXSC_IOC_WAIT, &wait), -EINVAL);
}

TEST_F(Abi, UnknownCommandsAreNotTakenForOthers) {
  const Rig rig;
  for (const unsigned nr : {5U, 15U, 20U, 255U}) {
    EXPECT_EQ(control(rig.group.fd(), _IO(FLEXSC_IOC_MAGIC, nr)), -ENOTTY) << nr;
    EXPECT_EQ(control(rig.client.fd(), _IO(FLEXSC_IOC_MAGIC, nr)), -ENOTTY) << nr;
  }
  // A group's command on a client and the other way round.
  auto query = sized<flexsc_query>();
  EXPECT_EQ(control(rig.client.fd(), FLEXSC_IOC_QUERY, &query), -ENOTTY);
  EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_FLUSH), -ENOTTY);
  // Right number, wrong direction bits or magic.
  EXPECT_EQ(control(rig.group.fd(), _IOR(FLEXSC_IOC_MAGIC, 0, __u64), &query), -ENOTTY);
  EXPECT_EQ(control(rig.group.fd(), _IO('f', 0), &query), -ENOTTY);
}

TEST_F(Abi, UnknownFlagsAreInvalid) {
  const Rig rig;
  auto pool = sized<flexsc_pool_params>();
  pool.flags = 1;
  EXPECT_EQ(control(Group().fd(), FLEXSC_IOC_POOL_CREATE, &pool), -EINVAL);
  auto client = sized<flexsc_client_params>();
  client.nr_pages = 1;
  client.flags = 0x80000000;
  EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_CLIENT_CREATE, &client), -EINVAL);
  client.flags = 0;
  client.reserved = 1;
  EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_CLIENT_CREATE, &client), -EINVAL);
  auto wait = sized<flexsc_wait>();
  wait.flags = 1;
  EXPECT_EQ(control(rig.client.fd(), FLEXSC_IOC_WAIT, &wait), -EINVAL);
  wait.flags = 0;
  wait.reserved = 1;
  EXPECT_EQ(control(rig.client.fd(), FLEXSC_IOC_WAIT, &wait), -EINVAL);
  EXPECT_EQ(control(rig.client.fd(), FLEXSC_IOC_FLUSH, 1), -EINVAL);
  EXPECT_EQ(control(rig.client.fd(), FLEXSC_IOC_NOTIFY, 1), -EINVAL);
}

TEST_F(Abi, BadPointersAreFaults) {
  const Rig rig;
  // None, one that is not mapped, and one into the kernel.
  for (const unsigned long pointer : {0UL, 4096UL, 1UL << 63}) {
    EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_QUERY, pointer), -EFAULT);
    EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_POLICY, pointer), -EFAULT);
    EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_CLIENT_CREATE, pointer), -EFAULT);
    EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_STATS, pointer), -EFAULT);
    EXPECT_EQ(control(rig.client.fd(), FLEXSC_IOC_WAIT, pointer), -EFAULT);
    EXPECT_EQ(control(Group().fd(), FLEXSC_IOC_POOL_CREATE, pointer), -EFAULT);
  }
}

TEST_F(Abi, StatsCountWhatHappened) {
  const Rig rig;
  constexpr unsigned kCalls = 10;
  for (unsigned i = 0; i < kCalls; ++i) EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
  EXPECT_EQ(rig.client.run(SYS_exit, 0), -FLEXSC_E_REFUSED);
  EXPECT_EQ(rig.client.run_flushed(call(SYS_getppid)), ::getppid());
  EXPECT_TRUE(rig.group.has_executed(kCalls));
  const flexsc_stats stats = rig.group.stats();
  EXPECT_EQ(stats.refused, 1U);
  EXPECT_EQ(stats.cancelled, 0U);
  EXPECT_EQ(stats.flushes, 1U);
  EXPECT_EQ(stats.flushed, 1U);
  EXPECT_GE(stats.workers, 1U);
  EXPECT_GE(stats.doorbells, stats.doorbell_wakes);
  EXPECT_EQ(stats.batch_size[0], kCalls + 1);  // one entry at a time
  EXPECT_EQ(stats.batches, kCalls + 1);
}

}  // namespace
}  // namespace flexsc_guest
