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
  // All of version 2.
  EXPECT_EQ(query.features & ((FLEXSC_FEATURE_POOL_UPDATE << 1) - 1),
            (FLEXSC_FEATURE_POOL_UPDATE << 1) - 1);
  EXPECT_EQ(query.max_pages, __u32{FLEXSC_MAX_PAGES});
  EXPECT_EQ(query.max_clients, __u32{FLEXSC_MAX_CLIENTS});
  EXPECT_EQ(query.max_pools, __u32{FLEXSC_MAX_POOLS});
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

  Grown<flexsc_pool_params> pool{sized<flexsc_pool_params>(sizeof(Grown<flexsc_pool_params>))};
  pool.unknown[0] = 1;
  EXPECT_EQ(control(group.fd(), FLEXSC_IOC_POOL_CREATE, &pool), -E2BIG);
  pool.unknown[0] = 0;
  EXPECT_EQ(control(group.fd(), FLEXSC_IOC_POOL_CREATE, &pool), 0);
  Grown<flexsc_cancel> cancel{sized<flexsc_cancel>(sizeof(Grown<flexsc_cancel>))};
  cancel.unknown[2] = 1;
  EXPECT_EQ(control(client.get(), FLEXSC_IOC_CANCEL, &cancel), -E2BIG);
  cancel.unknown[2] = 0;
  EXPECT_EQ(control(client.get(), FLEXSC_IOC_CANCEL, &cancel), -ENOENT);
}

TEST_F(Abi, ShorterStructGetsDefaults) {
  // Up to set: what it names and lacks is 0, the rest has its default.
  const Group group;
  auto pool = sized<flexsc_pool_params>(8);
  pool.set = FLEXSC_POOL_SPIN;
  pool.spin_us = 0xffffffff;
  pool.reserved = 1;
  EXPECT_EQ(control(group.fd(), FLEXSC_IOC_POOL_CREATE, &pool), 0);
  const Client client(group);
  EXPECT_EQ(client.run(SYS_getppid), ::getppid());
  // Up to bit: nothing is at (0, 0).
  auto cancel = sized<flexsc_cancel>(12);
  cancel.bit = 64;
  cancel.reserved = 1;
  EXPECT_EQ(control(client.fd(), FLEXSC_IOC_CANCEL, &cancel), -ENOENT);
  // Statistics are filled as far as they go.
  auto stats = sized<flexsc_stats>(offsetof(flexsc_stats, helped));
  stats.helped = 0x5e5e;
  EXPECT_TRUE(group.has_executed(1));
  EXPECT_EQ(control(group.fd(), FLEXSC_IOC_STATS, &stats), 0);
  EXPECT_EQ(stats.executed, 1U);
  EXPECT_EQ(stats.helped, 0x5e5eU);
}

TEST_F(Abi, SizeZeroIsInvalid) {
  const Rig rig;
  flexsc_query query{};
  flexsc_policy policy{};
  flexsc_pool_params pool{};
  flexsc_client_params client{};
  flexsc_stats stats{};
  flexsc_cancel cancel{};
  client.nr_pages = 1;
  EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_QUERY, &query), -EINVAL);
  EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_POLICY, &policy), -EINVAL);
  EXPECT_EQ(control(Group().fd(), FLEXSC_IOC_POOL_CREATE, &pool), -EINVAL);
  EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_POOL_UPDATE, &pool), -EINVAL);
  EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_CLIENT_CREATE, &client), -EINVAL);
  EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_STATS, &stats), -EINVAL);
  EXPECT_EQ(control(rig.client.fd(), FLEXSC_IOC_CANCEL, &cancel), -EINVAL);
}

TEST_F(Abi, UnknownCommandsAreNotTakenForOthers) {
  const Rig rig;
  for (const unsigned nr : {7U, 15U, 17U, 20U, 255U}) {
    EXPECT_EQ(control(rig.group.fd(), _IO(FLEXSC_IOC_MAGIC, nr)), -ENOTTY) << nr;
    EXPECT_EQ(control(rig.client.fd(), _IO(FLEXSC_IOC_MAGIC, nr)), -ENOTTY) << nr;
  }
  // A group's command on a client and the other way round.
  auto query = sized<flexsc_query>();
  auto cancel = sized<flexsc_cancel>();
  EXPECT_EQ(control(rig.client.fd(), FLEXSC_IOC_QUERY, &query), -ENOTTY);
  EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_CANCEL, &cancel), -ENOTTY);
  // Right number, wrong direction bits or magic.
  EXPECT_EQ(control(rig.group.fd(), _IOR(FLEXSC_IOC_MAGIC, 0, __u64), &query), -ENOTTY);
  EXPECT_EQ(control(rig.group.fd(), _IO('f', 0), &query), -ENOTTY);
}

TEST_F(Abi, UnknownFlagsAreInvalid) {
  const Rig rig;
  const auto create = [](flexsc_pool_params pool) {
    return control(Group().fd(), FLEXSC_IOC_POOL_CREATE, &pool);
  };
  auto pool = sized<flexsc_pool_params>();
  for (const __u32 unknown : {__u32{FLEXSC_POOL_FIELDS} + 1, 0x80000000U}) {
    pool.set = unknown;
    EXPECT_EQ(create(pool), -EINVAL);
    EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_POOL_UPDATE, &pool), -EINVAL);
  }
  pool = sized<flexsc_pool_params>();
  pool.pool = 1;
  EXPECT_EQ(create(pool), -EINVAL) << "the number is the module's to give";
  pool = sized<flexsc_pool_params>();
  pool.reserved = 1;
  EXPECT_EQ(create(pool), -EINVAL);
  pool.set = FLEXSC_POOL_SPIN;
  EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_POOL_UPDATE, &pool), -EINVAL);

  auto client = sized<flexsc_client_params>();
  client.nr_pages = 1;
  client.flags = 0x80000000;
  EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_CLIENT_CREATE, &client), -EINVAL);
  client.flags = 0;
  client.reserved = 1;
  EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_CLIENT_CREATE, &client), -EINVAL);
}

TEST_F(Abi, BadPointersAreFaults) {
  const Rig rig;
  // None, one that is not mapped, and one into the kernel.
  for (const unsigned long pointer : {0UL, 4096UL, 1UL << 63}) {
    EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_QUERY, pointer), -EFAULT);
    EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_POLICY, pointer), -EFAULT);
    EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_CLIENT_CREATE, pointer), -EFAULT);
    EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_STATS, pointer), -EFAULT);
    EXPECT_EQ(control(rig.group.fd(), FLEXSC_IOC_POOL_UPDATE, pointer), -EFAULT);
    EXPECT_EQ(control(rig.client.fd(), FLEXSC_IOC_CANCEL, pointer), -EFAULT);
    EXPECT_EQ(control(Group().fd(), FLEXSC_IOC_POOL_CREATE, pointer), -EFAULT);
  }
}

TEST_F(Abi, StatsOfWhatIsNotThere) {
  const Rig rig;
  const auto ask = [&](__u32 scope, __u32 index) {
    auto stats = sized<flexsc_stats>();
    stats.scope = scope;
    stats.index = index;
    return control(rig.group.fd(), FLEXSC_IOC_STATS, &stats);
  };
  EXPECT_EQ(ask(FLEXSC_STATS_POOL, 0), 0);
  EXPECT_EQ(ask(FLEXSC_STATS_CLIENT, static_cast<__u32>(rig.client.fd())), 0);
  for (const __u32 pool : {1U, __u32{FLEXSC_MAX_POOLS}, 0xffffffffU}) {
    EXPECT_EQ(ask(FLEXSC_STATS_POOL, pool), -EINVAL) << pool;
  }
  const Group other;
  const Client foreign(other);
  for (const int fd : {-1, rig.group.fd(), STDERR_FILENO, foreign.fd(), 1 << 20}) {
    EXPECT_EQ(ask(FLEXSC_STATS_CLIENT, static_cast<__u32>(fd)), -EINVAL) << fd;
  }
  for (const __u32 scope : {3U, 0xffffffffU}) EXPECT_EQ(ask(scope, 0), -EINVAL) << scope;
}

// What happened in one place is counted there, and in the group.
TEST_F(Abi, StatsHaveTheirScope) {
  const Group group;
  ASSERT_EQ(group.create_pool(), 0);
  ASSERT_EQ(group.create_pool(), 1);
  const Client first(group);
  const Client second(group);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(first.run(SYS_getppid), ::getppid());
  for (unsigned bit = 0; bit < 5; ++bit) {
    ASSERT_EQ(second.post(0, bit, call(SYS_getppid), 1), 0);
    ASSERT_EQ(second.await(0, bit), ::getppid());
  }
  ASSERT_EQ(second.run_flushed(call(SYS_getppid)), ::getppid());
  ASSERT_TRUE(group.has_executed(8));
  const auto executed_by = [&](unsigned pool) {
    return [&group, pool] { return group.stats(FLEXSC_STATS_POOL, pool).executed; };
  };
  EXPECT_EQ(settled(executed_by(0), 3U), 3U);
  EXPECT_EQ(settled(executed_by(1), 5U), 5U);
  EXPECT_GE(group.stats(FLEXSC_STATS_POOL, 1).workers, 1U);
  const auto of = [&](const Client& client) {
    return group.stats(FLEXSC_STATS_CLIENT, static_cast<__u32>(client.fd()));
  };
  EXPECT_EQ(of(first).executed, 3U);
  EXPECT_EQ(of(first).flushed, 0U);
  EXPECT_EQ(of(second).executed, 5U);
  EXPECT_EQ(of(second).flushed, 1U);
  EXPECT_EQ(of(second).flushes, 1U);
  EXPECT_EQ(group.stats().flushed, 1U);
}

TEST_F(Abi, StatsCountWhatHappened) {
  const Rig rig;
  constexpr unsigned kCalls = 10;
  for (unsigned i = 0; i < kCalls; ++i) EXPECT_EQ(rig.client.run(SYS_getppid), ::getppid());
  EXPECT_EQ(rig.client.run(SYS_exit, 0), -FLEXSC_E_REFUSED);
  EXPECT_EQ(rig.client.run_flushed(call(SYS_getppid)), ::getppid());
  const auto batches = [&] { return rig.group.stats().batches; };
  EXPECT_EQ(settled(batches, kCalls + 2), kCalls + 2);
  EXPECT_TRUE(rig.group.has_executed(kCalls));
  const flexsc_stats stats = rig.group.stats();
  EXPECT_EQ(stats.refused, 1U);
  EXPECT_EQ(stats.stopped, 0U);
  EXPECT_EQ(stats.cancelled, 0U);
  EXPECT_EQ(stats.flushes, 1U);
  EXPECT_EQ(stats.flushed, 1U);
  EXPECT_GE(stats.workers, 1U);
  EXPECT_GE(stats.doorbells, stats.wakes);
  // One entry at a time, the refused and the flushed one too.
  EXPECT_EQ(stats.batch_size[0], kCalls + 2);
  EXPECT_EQ(stats.batches, kCalls + 2);
}

}  // namespace
}  // namespace flexsc_guest
