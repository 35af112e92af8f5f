// SPDX-License-Identifier: MIT
/// @file
/// The kernel's log: what it says of an input, and what is told to it, so that the input that was
/// the last one stands on the console before what it led to.
#pragma once

#include <string>
#include <string_view>

namespace flexsc_fuzz {

class KernelLog {
 public:
  /// From now on. Until release(), warnings go to the log alone: an emulated machine that is slow
  /// is warned about in an interrupt, where lockdep does not like the console.
  KernelLog();
  KernelLog(const KernelLog&) = delete;
  KernelLog& operator=(const KernelLog&) = delete;
  ~KernelLog();

  /// The first line since the last call that is a complaint; "" if there is none. It and what
  /// follows are written to the standard error output.
  [[nodiscard]] std::string complaint() const;

  /// The console shows everything again.
  void release() const;

 private:
  int fd_;
};

/// Whether a record of /dev/kmsg ("level,sequence,...;text") is one of those by which the harness
/// fails a run; tests/harness/verdict.py judges in the end, and knows more of them.
[[nodiscard]] bool is_complaint(std::string_view record);

}  // namespace flexsc_fuzz
