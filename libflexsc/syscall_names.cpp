// SPDX-License-Identifier: MIT
#include "syscall_names.hpp"

namespace flexsc::detail {

const char* syscall_name(std::uint32_t nr) noexcept {
  switch (nr) {
#define FLEXSC_NAME(name, number) \
  case number:                    \
    return #name;
#include "syscall_names.inc"
#undef FLEXSC_NAME
    default:
      return nullptr;
  }
}

}  // namespace flexsc::detail
