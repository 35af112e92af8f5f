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

constexpr std::string_view kMark = "flexsc-fuzz: ";
/// Of an input, in a line: the kernel's are of less than 1024 characters.
constexpr std::size_t kBytesOfLine = 448;
/// Errors and worse, and so are our own lines; everything.
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
  if (text.starts_with(kMark)) return false;
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

KernelLog::KernelLog() : fd_(::open("/dev/kmsg", O_RDWR | O_NONBLOCK | O_CLOEXEC)) {
  if (fd_ < 0) throw std::runtime_error("/dev/kmsg cannot be opened");
  ::lseek(fd_, 0, SEEK_END);
  // Otherwise no more than ten lines in five seconds are taken from a process.
  std::ofstream("/proc/sys/kernel/printk_devkmsg") << "on\n";
  show_on_console(kErrors);
}

KernelLog::~KernelLog() {
  release();
  ::close(fd_);
}

void KernelLog::release() const {
  show_on_console(kEverything);
}

void KernelLog::tell(std::span<const std::uint8_t> input) const {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string line = "<3>" + std::string(kMark) + "input ";
  do {
    const auto part = input.first(std::min(input.size(), kBytesOfLine));
    input = input.subspan(part.size());
    for (const std::uint8_t byte : part) {
      line += kDigits[byte >> 4];
      line += kDigits[byte & 15];
    }
    if (::write(fd_, line.data(), line.size()) < 0) {
      throw std::runtime_error("/dev/kmsg does not take a line");
    }
    line = "<3>" + std::string(kMark) + "and ";
  } while (!input.empty());
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
