// SPDX-License-Identifier: MIT
// The symbols that programs built with _FORTIFY_SOURCE call instead. Each has the size of
// the buffer as its last argument; a larger request goes to libc, which ends the program.
#include <fcntl.h>

#include "flexsc/posix.hpp"
#include "take.hpp"

namespace {
/// Whether opening with these flags needs a mode: libc ends the program without one.
constexpr bool needs_mode(int flags) noexcept {
  return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}
}  // namespace

// NOLINTBEGIN(bugprone-macro-parentheses): as in take.hpp
/// As FLEXSC_TAKE, if `fits`.
#define FLEXSC_TAKE_FORTIFIED(result, name, symbol, params, args, fits, ours) \
  extern "C" result flexsc_intercept_##symbol params asm(#symbol);            \
  result flexsc_intercept_##symbol params {                                   \
    if ((fits) && flexsc::intercept::taken(flexsc::intercept::Name::name)) {  \
      return ours;                                                            \
    }                                                                         \
    static constinit flexsc::intercept::Next<result params> next(#symbol);    \
    return (*next)args;                                                       \
  }
// NOLINTEND(bugprone-macro-parentheses)

FLEXSC_TAKE_FORTIFIED(ssize_t, read, __read_chk, (int fd, void* buffer, size_t count, size_t size),
                      (fd, buffer, count, size), count <= size, flexsc::read(fd, buffer, count))
FLEXSC_TAKE_FORTIFIED(ssize_t, pread, __pread_chk,
                      (int fd, void* buffer, size_t count, off_t offset, size_t size),
                      (fd, buffer, count, offset, size), count <= size,
                      flexsc::pread(fd, buffer, count, offset))
FLEXSC_TAKE_FORTIFIED(ssize_t, pread, __pread64_chk,
                      (int fd, void* buffer, size_t count, off_t offset, size_t size),
                      (fd, buffer, count, offset, size), count <= size,
                      flexsc::pread(fd, buffer, count, offset))
FLEXSC_TAKE_FORTIFIED(ssize_t, recv, __recv_chk,
                      (int fd, void* buffer, size_t count, size_t size, int flags),
                      (fd, buffer, count, size, flags), count <= size,
                      flexsc::recv(fd, buffer, count, flags))
FLEXSC_TAKE_FORTIFIED(ssize_t, recvfrom, __recvfrom_chk,
                      (int fd, void* buffer, size_t count, size_t size, int flags,
                       struct sockaddr* address, socklen_t* length),
                      (fd, buffer, count, size, flags, address, length), count <= size,
                      flexsc::recvfrom(fd, buffer, count, flags, address, length))
FLEXSC_TAKE_FORTIFIED(int, poll, __poll_chk,
                      (struct pollfd * fds, nfds_t count, int timeout, size_t size),
                      (fds, count, timeout, size), count <= size / sizeof(struct pollfd),
                      flexsc::poll(fds, count, timeout))
FLEXSC_TAKE_FORTIFIED(int, open, __open_2, (const char* path, int flags), (path, flags),
                      !needs_mode(flags), flexsc::open(path, flags))
FLEXSC_TAKE_FORTIFIED(int, open, __open64_2, (const char* path, int flags), (path, flags),
                      !needs_mode(flags), flexsc::open(path, flags))
FLEXSC_TAKE_FORTIFIED(int, openat, __openat_2, (int dir, const char* path, int flags),
                      (dir, path, flags), !needs_mode(flags), flexsc::openat(dir, path, flags))
FLEXSC_TAKE_FORTIFIED(int, openat, __openat64_2, (int dir, const char* path, int flags),
                      (dir, path, flags), !needs_mode(flags), flexsc::openat(dir, path, flags))
