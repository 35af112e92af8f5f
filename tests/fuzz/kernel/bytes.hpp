// SPDX-License-Identifier: MIT
/// @file
/// An input, taken apart from its front. Every string of bytes is an input: behind its end there
/// are zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace flexsc_fuzz {

class Bytes {
 public:
  explicit Bytes(std::span<const std::uint8_t> all) : rest_(all) {}

  [[nodiscard]] bool empty() const { return rest_.empty(); }

  /// The next `length` bytes, or what there is.
  std::span<const std::uint8_t> take(std::size_t length) {
    const auto taken = rest_.first(length < rest_.size() ? length : rest_.size());
    rest_ = rest_.subspan(taken.size());
    return taken;
  }

  /// Little endian, of so many bytes.
  std::uint64_t number(unsigned width) {
    std::uint64_t value = 0;
    unsigned shift = 0;
    for (const std::uint8_t byte : take(width)) {
      value |= std::uint64_t{byte} << shift;
      shift += 8;
    }
    return value;
  }

  std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return number(8); }
  /// 0 to limit - 1, from one byte.
  unsigned below(unsigned limit) { return u8() % limit; }

 private:
  std::span<const std::uint8_t> rest_;
};

}  // namespace flexsc_fuzz
