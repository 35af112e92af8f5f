// SPDX-License-Identifier: MIT
/// @file
/// What an input reached in the module, by KCOV: in the calls of its two threads, and in the
/// workers of its first group (kcov_common_handle()). Without KCOV all of it does nothing.
///
/// The fuzzer makes the buffers, the process that runs an input fills them, and when that is gone
/// the fuzzer reads them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace flexsc_fuzz {

/// The threads of an input whose own calls are followed.
enum class Lane { kMain, kCompany };

class Coverage {
 public:
  /// Opens KCOV, if the kernel has it.
  Coverage();
  Coverage(const Coverage&) = delete;
  Coverage& operator=(const Coverage&) = delete;

  [[nodiscard]] bool available() const { return !buffers_.empty(); }

  /// For the process of an input: from now on the calling thread is followed.
  void follow(Lane lane) const;
  /// Opens the device such that workers of the group will be followed; a descriptor or -1.
  [[nodiscard]] int open_followed(const char* device) const;
  /// Starts to follow the workers of that group; the thread must stay. Called by a thread that does
  /// nothing else.
  void follow_workers() const;

  /// For the fuzzer. Before an input:
  void reset() const;
  /// After it: counts what was reached in libFuzzer's extra counters, and remembers it.
  void collect();
  /// All addresses that were ever reached, as offsets from the module's text.
  [[nodiscard]] std::vector<std::uint64_t> reached() const;

 private:
  struct Buffer {
    int fd = -1;
    std::uint64_t* words = nullptr;  // the first is the number of those that follow
  };
  enum Use : std::size_t { kMain, kCompany, kWorkers, kTag, kUses };

  static Buffer make(std::size_t words);

  std::vector<Buffer> buffers_;  // by Use
  std::uint64_t text_ = 0;
  std::vector<bool> seen_;  // by offset
};

}  // namespace flexsc_fuzz
