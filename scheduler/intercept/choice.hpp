// SPDX-License-Identifier: MIT
/// @file
/// Which plain calls of a fiber are taken: the environment variable FLEXSC_INTERCEPT.
///
///   unset or empty     every name below
///   none               nothing
///   read,write         these only
///   -close,-fsync      every name but these
///
/// A name stands for all its symbols: "read" is also __read_chk, "open" also open64 and
/// __open_2.
///
/// What cannot be taken this way: calls that libc makes inside itself (stdio, getaddrinfo,
/// opendir: they do not go through these symbols), calls by number (syscall(2)), programs
/// linked statically or written in Go.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace flexsc::intercept {

// clang-format off
#define FLEXSC_INTERCEPT_NAMES(X)                                                            \
  X(read) X(write) X(readv) X(writev) X(pread) X(pwrite)                                     \
  X(open) X(openat) X(creat) X(close) X(lseek) X(fsync) X(fdatasync) X(ftruncate)            \
  X(stat) X(lstat) X(fstat) X(fstatat) X(unlink) X(unlinkat) X(mkdir) X(mkdirat)             \
  X(rename) X(renameat) X(sendfile) X(splice) X(pipe2)                                       \
  X(socket) X(bind) X(listen) X(accept) X(accept4) X(connect) X(shutdown)                    \
  X(recv) X(send) X(recvfrom) X(sendto) X(recvmsg) X(sendmsg)                                \
  X(getsockopt) X(setsockopt) X(getsockname) X(getpeername)                                  \
  X(poll) X(nanosleep) X(clock_nanosleep) X(usleep) X(sleep)
// clang-format on

enum class Name : std::uint8_t {
#define FLEXSC_NAME(name) name,
  FLEXSC_INTERCEPT_NAMES(FLEXSC_NAME)
#undef FLEXSC_NAME
      count
};

/// A bit for each Name.
using Choice = std::uint64_t;
static_assert(static_cast<unsigned>(Name::count) < 63);
inline constexpr Choice kEverything = (Choice{1} << static_cast<unsigned>(Name::count)) - 1;

/// Reads a value of FLEXSC_INTERCEPT. Names that do not exist are left out and listed in
/// `unknown`, separated by commas.
[[nodiscard]] Choice parse_choice(std::string_view text, std::string& unknown);

/// Whether the caller runs in a fiber and `name` is to be taken there.
[[nodiscard]] bool taken(Name name) noexcept;

}  // namespace flexsc::intercept
