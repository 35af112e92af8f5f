// SPDX-License-Identifier: MIT
/// @file
/// Where inputs run: each in a process of its own, as nobody, in namespaces and a root directory
/// where random calls can do no harm, all of which is gone when the input is over.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace flexsc_fuzz {

/// A path in that root directory.
inline constexpr const char* kDeviceInCell = "/flexsc";
/// From here on are descriptors that are not the input's own; lower ones are closed in the cell.
inline constexpr int kOwnDescriptors = 200;
/// The largest input that is run whole.
inline constexpr std::size_t kMostBytes = 64 << 10;

class Cell {
 public:
  using Body = std::function<void(std::span<const std::uint8_t>)>;

  /// Starts the process that will start the others, while this one is still small. `body` plays an
  /// input; it need not return.
  explicit Cell(Body body);
  Cell(const Cell&) = delete;
  Cell& operator=(const Cell&) = delete;

  /// Runs an input, until it ends or for this time, after which it is killed. Then none of its
  /// processes is left. Returns "", or what is wrong: what left the body as an exception, or that
  /// it could not be killed; and in the latter case there can be no further run.
  [[nodiscard]] std::string run(std::span<const std::uint8_t> input, int milliseconds);

 private:
  struct Shared {
    std::uint32_t size;
    char failure[256];
    std::uint8_t bytes[kMostBytes];
  };

  [[noreturn]] void keep(int commands);
  [[noreturn]] void serve(int commands);
  void run_one(int milliseconds);

  Body body_;
  Shared* shared_;
  int commands_;
};

}  // namespace flexsc_fuzz
