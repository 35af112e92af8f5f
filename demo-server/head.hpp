// SPDX-License-Identifier: MIT
/// @file
/// Writing the head of an answer: a server does it for each request, and it is mostly the same
/// text.
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>

namespace flexsc::http {

/// Appends to a buffer of its own.
class HeadWriter {
 public:
  /// No head of ours is longer: nothing of it is as long as a client or a file name likes.
  static constexpr std::size_t kRoom = 1024;

  /// A piece whose length the compiler knows.
  /// @throws std::length_error, as the others, beyond kRoom
  template <std::size_t N>
  HeadWriter& text(const char (&piece)[N]) {
    std::memcpy(take(N - 1), piece, N - 1);
    return *this;
  }
  HeadWriter& text(std::string_view piece) {
    std::memcpy(take(piece.size()), piece.data(), piece.size());
    return *this;
  }
  HeadWriter& number(std::uint64_t value) {
    std::array<char, 20> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    return text(std::string_view(digits.data(), static_cast<std::size_t>(end - digits.data())));
  }

  [[nodiscard]] std::string str() const { return {buffer_.data(), size_}; }

 private:
  char* take(std::size_t size) {
    if (size > kRoom - size_) throw std::length_error("the head of an answer is too long");
    char* at = buffer_.data() + size_;
    size_ += size;
    return at;
  }

  std::size_t size_ = 0;
  std::array<char, kRoom> buffer_;  // not initialised: only what was written is read
};

}  // namespace flexsc::http
