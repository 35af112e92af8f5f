// SPDX-License-Identifier: MIT
#include "held_locks.hpp"

#include <cxxabi.h>
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>

namespace flexsc::detail {
namespace {

std::string hexadecimal(std::uint64_t number) {
  std::array<char, 24> text{};
  std::snprintf(text.data(), text.size(), "0x%llx", static_cast<unsigned long long>(number));
  return text.data();
}

/// "function()+0x12", or "program(+0x1234)" for addr2line, if its symbols are not exported.
std::string place(const void* address) {
  const auto here = reinterpret_cast<std::uint64_t>(address);
  Dl_info found{};
  if (::dladdr(address, &found) == 0) return hexadecimal(here);
  if (found.dli_sname == nullptr) {
    return std::string(found.dli_fname) + "(+" +
           hexadecimal(here - reinterpret_cast<std::uint64_t>(found.dli_fbase)) + ")";
  }
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> readable(
      abi::__cxa_demangle(found.dli_sname, nullptr, nullptr, &status), &std::free);
  return std::string(status == 0 ? readable.get() : found.dli_sname) + "+" +
         hexadecimal(here - reinterpret_cast<std::uint64_t>(found.dli_saddr));
}

}  // namespace

constinit std::atomic<TakeHeldLock> take_held_lock{nullptr};

std::string describe(const HeldLock& held) {
  std::string text = std::string(held.kind) + " " +
                     hexadecimal(reinterpret_cast<std::uint64_t>(held.lock)) + " taken at";
  const char* between = " ";
  for (const void* address : held.taken_at) {
    if (address == nullptr) break;
    text += between + place(address);
    between = " < ";
  }
  return text;
}

}  // namespace flexsc::detail
