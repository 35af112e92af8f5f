// SPDX-License-Identifier: MIT
#include "kernel_log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <iostream>
#include <stdexcept>

namespace flexsc_fuzz {
namespace {

/// Errors and worse; everything.
constexpr int kErrors = 4;
constexpr int kEverything = 8;

void show_on_console(int level) {
  std::ofstream("/proc/sys/kernel/printk") << level << '\n';
}

}  // namespace

bool is_complaint(std::string_view record) {
  const std::size_t end_of_head = record.find(';');
  if (end_of_head == std::string_view::npos) return false;
  const std::string_view text = record.substr(end_of_head + 1);
  static constexpr std::array<std::string_view, 14> kMarks{"BUG:",
                                                           "WARNING:",
                                                           "KASAN",
                                                           "KCSAN",
                                                           "UBSAN",
                                                           "Oops",
                                                           "INFO: task",
                                                           "rcu: INFO",
                                                           "refcount_t:",
                                                           "inconsistent lock state",
                                                           "lock held when returning",
                                                           "unable to handle",
                                                           "corruption",
                                                           "stack guard"};
  return std::any_of(kMarks.begin(), kMarks.end(),
                     [&](std::string_view mark) { return text.find(mark) != text.npos; });
}

KernelLog::KernelLog() : fd_(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {
  if (fd_ < 0) throw std::runtime_error("/dev/kmsg cannot be opened");
  ::lseek(fd_, 0, SEEK_END);
  show_on_console(kErrors);
}

KernelLog::~KernelLog() {
  release();
  ::close(fd_);
}

void KernelLog::release() const {
  show_on_console(kEverything);
}

std::string KernelLog::complaint() const {
  std::string first;
  std::array<char, 8192> record{};
  for (;;) {
    const ssize_t length = ::read(fd_, record.data(), record.size());
    // EPIPE: what was not read yet has been overwritten; the reading goes on behind it.
    if (length < 0 && errno != EPIPE) return first;
    if (length <= 0) continue;
    const std::string_view text(record.data(), static_cast<std::size_t>(length));
    const std::string line(text.substr(0, text.find('\n')));
    if (first.empty() && is_complaint(line)) first = line;
    if (!first.empty()) std::cerr << line << '\n';
  }
}

}  // namespace flexsc_fuzz
