// SPDX-License-Identifier: MIT
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>

#include "kit.hpp"
#include "player.hpp"

namespace flexsc_fuzz {
namespace {

/// A page's number: one of the first ones.
unsigned page_from(Bytes& in) {
  return in.below(4);
}

unsigned queue_from(Bytes& in) {
  const unsigned how = in.u8();
  if (how < 128) return 0;
  return how < 200 ? unsigned{FLEXSC_QUEUE_FLUSH} : how % FLEXSC_QUEUES;
}

std::uint64_t bits_from(Bytes& in) {
  const unsigned how = in.u8();
  if (how < 160) return std::uint64_t{1} << how % 64;
  if (how < 224) return (std::uint64_t{2} << how % 64) - 1;
  return in.u64();
}

flexsc_client_header& header_of(std::uint8_t* base) {
  return *reinterpret_cast<flexsc_client_header*>(base);
}

}  // namespace

void Player::fill_entry(Bytes& in, FuzzClient& client, unsigned page, unsigned bit,
                        std::uint16_t flags) {
  flexsc_entry filled{};
  filled.nr = World::number(in);
  const unsigned how = in.u8();
  filled.flags = how < 128 ? flags : static_cast<std::uint16_t>(flags | in.u8());
  if (how > 250) filled.flags = in.u16();
  if (how % 8 == 7) filled.from = in.below(8) != 0 ? in.u8() & 63U : in.u16();
  for (unsigned i = 0; i < how / 8 % 7; ++i) filled.args[i] = world_.argument(in);
  if ((filled.flags & FLEXSC_ENTRY_DEADLINE) != 0) {
    filled.result = in.below(4) != 0 ? flexsc_guest::from_now(std::chrono::microseconds(in.u16()))
                                     : static_cast<__s64>(in.u64());
  }
  std::uint8_t* const base = client.base;
  const std::size_t at =
      FLEXSC_HEADER_BYTES + (page * std::size_t{FLEXSC_PAGE_ENTRIES} + bit) * FLEXSC_ENTRY_BYTES;
  if (base == nullptr || at + sizeof filled > client.bytes) return;
  touch([&] { *reinterpret_cast<flexsc_entry*>(base + at) = filled; });
}

void Player::fill(Bytes& in) {
  FuzzClient& client = a_client(in);
  const unsigned page = page_from(in);
  fill_entry(in, client, page, in.below(FLEXSC_PAGE_ENTRIES), 0);
}

void Player::chain(Bytes& in) {
  FuzzClient& client = a_client(in);
  const unsigned page = page_from(in);
  const unsigned bit = in.below(FLEXSC_PAGE_ENTRIES);
  const unsigned length = in.below(6) + 2;
  for (unsigned i = 0; i < length && bit + i < FLEXSC_PAGE_ENTRIES; ++i) {
    fill_entry(in, client, page, bit + i, i + 1 < length ? FLEXSC_ENTRY_LINK : 0);
  }
}

/// Sets bits and mostly rings, without being asked to: who is awake does not mind.
void Player::post(Bytes& in) {
  FuzzClient& client = a_client(in);
  const unsigned page = page_from(in);
  const unsigned queue = queue_from(in);
  const std::uint64_t bits = bits_from(in);
  std::uint8_t* const base = client.base;
  if (base == nullptr) return;
  touch([&] {
    std::atomic_ref(header_of(base).submission[queue].page[page])
        .fetch_or(bits, std::memory_order_release);
  });
  if (queue < FLEXSC_MAX_POOLS) {
    if (in.below(4) != 0) flexsc_guest::command(client.fd, FLEXSC_CMD_DOORBELL, queue);
  } else if (in.below(4) != 0) {
    flexsc_guest::command(client.fd, FLEXSC_CMD_FLUSH, 0);
  }
}

/// Any bytes anywhere.
void Player::scribble(Bytes& in) {
  const FuzzClient& client = a_client(in);
  std::uint8_t* const base = client.base;
  const std::size_t at = in.u16();
  const unsigned how = in.u8();
  const auto given = in.take(how % 32U + 1);
  if (base == nullptr) return;
  const std::size_t from = at % client.bytes;
  if (how >= 224) {
    const std::uint8_t value = given.empty() ? 0xff : given[0];
    touch(
        [&] { std::fill_n(base + from, std::min<std::size_t>(client.bytes - from, 4096), value); });
  } else if (given.size() <= client.bytes - from) {
    touch([&] { std::copy(given.begin(), given.end(), base + from); });
  }
}

/// Takes what is complete.
void Player::take(Bytes& in) {
  const FuzzClient& client = a_client(in);
  const unsigned page = page_from(in);
  std::uint8_t* const base = client.base;
  if (base == nullptr) return;
  touch([&] {
    std::atomic_ref(header_of(base).completion.page[page]).exchange(0, std::memory_order_acquire);
  });
}

void Player::doorbell(Bytes& in) {
  const FuzzClient& client = a_client(in);
  flexsc_guest::command(client.fd, FLEXSC_CMD_DOORBELL, in.below(FLEXSC_MAX_POOLS + 2));
}

void Player::flush(Bytes& in) {
  const FuzzClient& client = a_client(in);
  flexsc_guest::command(client.fd, FLEXSC_CMD_FLUSH, in.below(16) != 15 ? 0 : in.u8());
}

void Player::notify(Bytes& in) {
  flexsc_guest::command(a_client(in).fd, FLEXSC_CMD_NOTIFY, 0);
}

void Player::wait(Bytes& in) {
  const FuzzClient& client = a_client(in);
  const unsigned how = in.u8();
  const std::uint64_t microseconds = how < 250 ? in.u16() % 4096U : FLEXSC_WAIT_FOREVER;
  const std::uint64_t min = how % 16 < 12 ? how / 4 % 4 : in.u16();
  const std::uint64_t flags = how % 64 < 60 ? how & 3 : in.u8();
  flexsc_guest::command(client.fd, FLEXSC_CMD_WAIT, FLEXSC_WAIT(flags, min, microseconds));
}

void Player::raw_command(Bytes& in) {
  const int fd = world_.any_fd(in);
  const std::uint64_t offset = world_.argument(in);
  flexsc_guest::direct(SYS_lseek, fd, static_cast<long long>(offset), in.below(6));
}

void Player::cancel(Bytes& in) {
  const FuzzClient& client = a_client(in);
  flexsc_cancel cancel{};
  cancel.size = sizeof cancel;
  const unsigned how = in.u8();
  if (how < 128) {
    cancel.page = how < 120 ? how % 4 : in.u32();
    cancel.bit = in.below(66);
  } else if (how < 224) {
    cancel.flags = FLEXSC_CANCEL_FD;
    cancel.fd = world_.any_fd(in);
  } else {
    cancel.size = in.u8();
    cancel.flags = in.u8();
    cancel.page = in.u8();
    cancel.reserved = in.u8() % 2U;
  }
  flexsc_guest::control(client.fd, FLEXSC_IOC_CANCEL, &cancel);
}

}  // namespace flexsc_fuzz
