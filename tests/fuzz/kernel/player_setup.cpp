// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "cell.hpp"
#include "kit.hpp"
#include "player.hpp"

namespace flexsc_fuzz {
namespace {

constexpr std::size_t kPage = 4096;

/// The size a structure says it has: mostly its own.
std::uint32_t size_from(Bytes& in, std::size_t real) {
  const unsigned how = in.u8();
  if (how < 224) return static_cast<std::uint32_t>(real);
  return how < 250 ? in.u8() : in.u32();
}

std::uint32_t small_or_any(Bytes& in) {
  const unsigned how = in.u8();
  return how < 240 ? how % 16 : in.u32();
}

}  // namespace

void Player::open_group(unsigned slot, int fd) {
  const int old = world_.groups[slot].exchange(fd);
  if (old >= 0) ::close(old);
}

void Player::group(Bytes& in) {
  const unsigned slot = in.below(World::kGroups);
  static constexpr std::array kModes{O_RDWR, O_RDONLY, O_WRONLY, O_RDWR | O_NONBLOCK};
  open_group(slot, ::open(kDeviceInCell, kModes[in.below(4)] | O_CLOEXEC));
}

void Player::pool(Bytes& in) {
  const int group = world_.groups[in.below(World::kGroups)];
  std::array<std::uint8_t, 16> mask{};
  flexsc_pool_params params{};
  params.size = size_from(in, sizeof params);
  const unsigned how = in.u8();
  params.set = how >> 3;
  // Mostly few workers and little spinning: an input has little time.
  params.pool = how % 8 < 6 ? 0 : small_or_any(in);
  if ((params.set & FLEXSC_POOL_CONCURRENCY) != 0) params.concurrency = small_or_any(in);
  if ((params.set & FLEXSC_POOL_STANDBY_MAX) != 0) params.standby_max = small_or_any(in);
  if ((params.set & FLEXSC_POOL_SPIN) != 0) params.spin_us = small_or_any(in) * 8;
  if ((params.set & FLEXSC_POOL_SCHED) != 0) {
    params.policy = in.below(8);
    params.priority = static_cast<std::int8_t>(in.u8());
  }
  if ((params.set & FLEXSC_POOL_CPUMASK) != 0) {
    mask[in.below(2)] = in.u8();
    params.cpumask = in.below(8) != 0 ? flexsc_guest::arg(mask.data()) : world_.argument(in);
    params.cpumask_bytes = in.below(8) != 0 ? 2 : in.u16();
  }
  if (params.set == 31) params.set = in.u32();
  flexsc_guest::control(group, how % 2 != 0 ? FLEXSC_IOC_POOL_UPDATE : FLEXSC_IOC_POOL_CREATE,
                        &params);
}

void Player::create_client(unsigned slot, int group, std::uint32_t pages) {
  flexsc_client_params params{};
  params.size = sizeof params;
  params.nr_pages = pages;
  const long fd = flexsc_guest::control(group, FLEXSC_IOC_CLIENT_CREATE, &params);
  if (fd < 0) return;
  FuzzClient& client = world_.clients[slot];
  client.base = nullptr;  // an old mapping stays, with nobody who knows it
  const int old = client.fd.exchange(static_cast<int>(fd));
  if (old >= 0) ::close(old);
  map(client, FLEXSC_HEADER_BYTES + pages * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, 0);
}

void Player::create_client(Bytes& in) {
  const unsigned slot = in.below(World::kClients);
  const unsigned how = in.u8();
  create_client(slot, world_.groups[how % World::kGroups],
                how < 240 ? how / 60 + 1U : in.u16() % (FLEXSC_MAX_PAGES + 2U));
}

void Player::map(FuzzClient& client, std::size_t bytes, int protection, int flags, long offset) {
  void* const base = ::mmap(nullptr, bytes, protection, flags, client.fd, offset);
  if (base == MAP_FAILED) return;
  client.bytes = bytes;
  client.base = static_cast<std::uint8_t*>(base);
}

void Player::map(Bytes& in) {
  FuzzClient& client = a_client(in);
  const unsigned how = in.u8();
  static constexpr std::array kFlags{MAP_SHARED, MAP_PRIVATE, MAP_SHARED | MAP_POPULATE,
                                     MAP_SHARED | MAP_LOCKED};
  map(client, FLEXSC_HEADER_BYTES + in.below(5) * kPage,
      (how & 1) != 0 ? static_cast<int>(in.below(8)) : PROT_READ | PROT_WRITE, kFlags[how >> 1 & 3],
      (how & 8) != 0 ? in.below(3) * long{kPage} : 0);
}

void Player::unmap(Bytes& in) {
  FuzzClient& client = a_client(in);
  std::uint8_t* const base = client.base;
  const std::size_t bytes = client.bytes;
  if (base == nullptr) return;
  switch (in.below(4)) {
    case 0:
      ::munmap(base + in.below(12) * kPage, kPage);
      break;
    case 1: {
      void* const moved = ::mremap(base, bytes, bytes + (in.below(3) * kPage), MREMAP_MAYMOVE);
      if (moved != MAP_FAILED) client.base = static_cast<std::uint8_t*>(moved);
      break;
    }
    default:
      client.base = nullptr;
      ::munmap(base, bytes);
  }
}

void Player::protect(Bytes& in) {
  const FuzzClient& client = a_client(in);
  std::uint8_t* const base = client.base;
  if (base == nullptr) return;
  const unsigned how = in.u8();
  if ((how & 8) != 0) {
    ::madvise(base, client.bytes, static_cast<int>(in.u8()));
  } else {
    ::mprotect(base, client.bytes, static_cast<int>(how & 7));
  }
}

void Player::close(Bytes& in) {
  const unsigned which = in.u8();
  if (which % 4 == 0) {
    ::close(world_.groups[which / 4 % World::kGroups].exchange(-1));
  } else if (which % 4 == 1) {
    ::close(world_.clients[which / 4 % World::kClients].fd.exchange(-1));
  } else {
    ::close(world_.files[which / 4 % World::kFiles].exchange(-1));
  }
}

/// The number stays, and what it stands for changes; or there is a second number.
void Player::duplicate(Bytes& in) {
  const int from = world_.any_fd(in);
  const int to = in.below(2) != 0 ? world_.any_fd(in) : static_cast<int>(150 + in.below(40));
  if (to > 2 && to < kOwnDescriptors) ::dup2(from, to);
}

void Player::raw_ioctl(Bytes& in) {
  const int fd = world_.any_fd(in);
  std::array<std::uint8_t, 192> bytes{};
  const unsigned how = in.u8();
  const unsigned long command = how < 250 ? _IO(FLEXSC_IOC_MAGIC, how % 20U) : in.u32();
  const auto given = in.take(how % 64U);
  std::copy(given.begin(), given.end(), bytes.begin());
  if ((how & 64) != 0) {
    flexsc_guest::control(fd, command, static_cast<unsigned long>(world_.argument(in)));
  } else {
    flexsc_guest::control(fd, command, bytes.data());
  }
}

void Player::stats(Bytes& in) {
  const int group = world_.groups[in.below(World::kGroups)];
  std::array<std::uint8_t, sizeof(flexsc_stats) + 64> bytes{};
  flexsc_stats stats{};
  stats.size = size_from(in, sizeof stats);
  stats.scope = in.below(5);
  stats.index = stats.scope == FLEXSC_STATS_CLIENT ? static_cast<std::uint32_t>(world_.any_fd(in))
                                                   : small_or_any(in);
  std::memcpy(bytes.data(), &stats, sizeof stats);
  bytes[sizeof stats + in.below(64)] = in.u8();
  flexsc_guest::control(group, FLEXSC_IOC_STATS, bytes.data());
}

void Player::policy(Bytes& in) {
  const int group = world_.groups[in.below(World::kGroups)];
  std::array<std::uint8_t, 1024> classes{};
  flexsc_policy policy{};
  policy.size = size_from(in, sizeof policy);
  const unsigned how = in.u8();
  policy.first = how < 200 ? in.u16() % 600U : in.u32();
  policy.count = how % 2 != 0 ? in.u8() : in.u16();
  policy.classes = how % 16 != 0 ? flexsc_guest::arg(classes.data()) : world_.argument(in);
  classes.fill(static_cast<std::uint8_t>(how / 2 % 6));
  flexsc_guest::control(group, how % 4 == 1 ? FLEXSC_IOC_NARROW : FLEXSC_IOC_POLICY, &policy);
}

}  // namespace flexsc_fuzz
