// SPDX-License-Identifier: MIT
/// @file
/// The layout of a client's region over a mapping, and owners of mappings and
/// descriptors.
#pragma once

#include <cstddef>
#include <cstring>
#include <utility>

#include "flexsc/call.hpp"
#include "flexsc/uapi.h"
#include "shared_word.hpp"

namespace flexsc::detail {

/// Memory that is unmapped at the end. Movable.
class Mapping {
 public:
  Mapping() noexcept = default;
  Mapping(Mapping&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(address_, other.address_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Mapping();

  /// Zeroed memory of this process. @throws std::system_error
  [[nodiscard]] static Mapping anonymous(std::size_t bytes);
  /// Shared memory of a client descriptor. @throws std::system_error
  [[nodiscard]] static Mapping shared(int fd, std::size_t bytes);

  [[nodiscard]] void* address() const noexcept { return address_; }

 private:
  Mapping(void* address, std::size_t bytes) noexcept : address_(address), bytes_(bytes) {}

  void* address_ = nullptr;
  std::size_t bytes_ = 0;
};

/// A descriptor that is closed at the end, by the system call itself. Movable.
class Descriptor {
 public:
  Descriptor() noexcept = default;
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor();

  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_ = -1;
};

/// A region's parts by name. Does not own it.
class Pages {
 public:
  Pages(void* region, unsigned count) noexcept
      : header_(static_cast<flexsc_client_header*>(region)),
        entries_(
            reinterpret_cast<flexsc_entry*>(static_cast<std::byte*>(region) + FLEXSC_HEADER_BYTES)),
        count_(count) {}

  [[nodiscard]] static constexpr std::size_t bytes(unsigned count) noexcept {
    return FLEXSC_HEADER_BYTES + std::size_t{count} * FLEXSC_PAGE_BYTES;
  }

  [[nodiscard]] unsigned count() const noexcept { return count_; }
  /// Of these, the first in which something is posted or complete; see use().
  [[nodiscard]] unsigned used() const noexcept {
    return used_of(header_->used_pages.value, count_);
  }
  /// By the poster, before it posts in the last of `count` pages.
  void use(unsigned count) const noexcept { set_used_pages(header_->used_pages.value, count); }
  [[nodiscard]] flexsc_client_header& header() const noexcept { return *header_; }
  [[nodiscard]] flexsc_entry& entry(unsigned page, unsigned bit) const noexcept {
    return entries_[std::size_t{page} * FLEXSC_PAGE_ENTRIES + bit];
  }
  [[nodiscard]] Word& submission(unsigned queue, unsigned page) const noexcept {
    return header_->submission[queue].page[page];
  }
  [[nodiscard]] Word& completion(unsigned page) const noexcept {
    return header_->completion.page[page];
  }
  [[nodiscard]] __u32& need_doorbell(unsigned queue) const noexcept {
    return header_->need_doorbell[queue].value;
  }
  [[nodiscard]] __u32& state() const noexcept { return header_->state.value; }

 private:
  flexsc_client_header* header_;
  flexsc_entry* entries_;
  unsigned count_;
};

/// Writes a call into an entry that nobody else uses now.
inline void fill(flexsc_entry& entry, const Call& call, unsigned flags = 0,
                 unsigned from = 0) noexcept {
  entry.nr = call.nr;
  entry.flags = static_cast<std::uint16_t>(flags);
  entry.from = static_cast<std::uint16_t>(from);
  std::memcpy(entry.args, call.args.data(), sizeof entry.args);
}

/// The call that an entry holds.
inline Call call_in(const flexsc_entry& entry) noexcept {
  Call call{entry.nr, {}};
  for (std::size_t i = 0; i < call.args.size(); ++i) call.args[i] = entry.args[i];
  return call;
}

/// Whether a result says that the call was not made and should be made directly.
[[nodiscard]] constexpr bool not_made(long result) noexcept {
  static_assert(FLEXSC_E_REFUSED == FLEXSC_E_CALLER_ONLY + 1 &&
                FLEXSC_E_STOPPED == FLEXSC_E_CALLER_ONLY + 2);
  return result >= -FLEXSC_E_STOPPED && result <= -FLEXSC_E_CALLER_ONLY;
}

}  // namespace flexsc::detail
