// SPDX-License-Identifier: MIT
// Files. Symbols whose names end in 64 are the same functions on x86-64.
#include <fcntl.h>

#include <cstdarg>

#include "flexsc/posix.hpp"
#include "take.hpp"

FLEXSC_TAKE_SAME(ssize_t, read, (int fd, void* buffer, size_t count), (fd, buffer, count))
FLEXSC_TAKE_SAME(ssize_t, write, (int fd, const void* buffer, size_t count), (fd, buffer, count))
FLEXSC_TAKE_SAME(ssize_t, readv, (int fd, const struct iovec* iov, int count), (fd, iov, count))
FLEXSC_TAKE_SAME(ssize_t, writev, (int fd, const struct iovec* iov, int count), (fd, iov, count))
FLEXSC_TAKE_SAME(ssize_t, pread, (int fd, void* buffer, size_t count, off_t offset),
                 (fd, buffer, count, offset))
FLEXSC_TAKE_AS(ssize_t, pread, pread64, (int fd, void* buffer, size_t count, off_t offset),
               (fd, buffer, count, offset))
FLEXSC_TAKE_SAME(ssize_t, pwrite, (int fd, const void* buffer, size_t count, off_t offset),
                 (fd, buffer, count, offset))
FLEXSC_TAKE_AS(ssize_t, pwrite, pwrite64, (int fd, const void* buffer, size_t count, off_t offset),
               (fd, buffer, count, offset))

FLEXSC_TAKE_SAME(int, close, (int fd), (fd))
FLEXSC_TAKE_SAME(off_t, lseek, (int fd, off_t offset, int whence), (fd, offset, whence))
FLEXSC_TAKE_AS(off_t, lseek, lseek64, (int fd, off_t offset, int whence), (fd, offset, whence))
FLEXSC_TAKE_SAME(int, fsync, (int fd), (fd))
FLEXSC_TAKE_SAME(int, fdatasync, (int fd), (fd))
FLEXSC_TAKE_SAME(int, ftruncate, (int fd, off_t length), (fd, length))
FLEXSC_TAKE_AS(int, ftruncate, ftruncate64, (int fd, off_t length), (fd, length))

// Real symbols since glibc 2.33; programs built against older ones call __fxstat and its
// kin, which are not taken.
FLEXSC_TAKE_SAME(int, fstat, (int fd, struct stat* status), (fd, status))
FLEXSC_TAKE_AS(int, fstat, fstat64, (int fd, struct stat* status), (fd, status))
FLEXSC_TAKE_SAME(int, stat, (const char* path, struct stat* status), (path, status))
FLEXSC_TAKE_AS(int, stat, stat64, (const char* path, struct stat* status), (path, status))
FLEXSC_TAKE(int, lstat, lstat, (const char* path, struct stat* status), (path, status),
            flexsc::fstatat(AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW))
FLEXSC_TAKE(int, lstat, lstat64, (const char* path, struct stat* status), (path, status),
            flexsc::fstatat(AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW))
FLEXSC_TAKE_SAME(int, fstatat, (int dir, const char* path, struct stat* status, int flags),
                 (dir, path, status, flags))
FLEXSC_TAKE_AS(int, fstatat, fstatat64, (int dir, const char* path, struct stat* status, int flags),
               (dir, path, status, flags))

FLEXSC_TAKE_SAME(int, unlink, (const char* path), (path))
FLEXSC_TAKE_SAME(int, unlinkat, (int dir, const char* path, int flags), (dir, path, flags))
FLEXSC_TAKE(int, mkdir, mkdir, (const char* path, mode_t mode), (path, mode),
            flexsc::mkdirat(AT_FDCWD, path, mode))
FLEXSC_TAKE_SAME(int, mkdirat, (int dir, const char* path, mode_t mode), (dir, path, mode))
FLEXSC_TAKE(int, rename, rename, (const char* from, const char* to), (from, to),
            flexsc::renameat(AT_FDCWD, from, AT_FDCWD, to))
FLEXSC_TAKE_SAME(int, renameat, (int from_dir, const char* from, int to_dir, const char* to),
                 (from_dir, from, to_dir, to))

FLEXSC_TAKE_SAME(ssize_t, sendfile, (int out, int in, off_t* offset, size_t count),
                 (out, in, offset, count))
FLEXSC_TAKE_AS(ssize_t, sendfile, sendfile64, (int out, int in, off_t* offset, size_t count),
               (out, in, offset, count))
FLEXSC_TAKE_SAME(ssize_t, splice,
                 (int in, off_t* in_offset, int out, off_t* out_offset, size_t count,
                  unsigned flags),
                 (in, in_offset, out, out_offset, count, flags))
FLEXSC_TAKE_SAME(int, pipe2, (int* fds, int flags), (fds, flags))

// open and openat have a third or fourth argument only if a file may be made.
#define FLEXSC_MODE_OF(flags, mode)                                 \
  mode_t mode = 0;                                                  \
  if (((flags)&O_CREAT) != 0 || ((flags)&O_TMPFILE) == O_TMPFILE) { \
    va_list rest;                                                   \
    va_start(rest, flags);                                          \
    (mode) = va_arg(rest, mode_t);                                  \
    va_end(rest);                                                   \
  }

#define FLEXSC_TAKE_OPEN(symbol)                                                           \
  extern "C" int flexsc_intercept_##symbol(const char* path, int flags, ...) asm(#symbol); \
  int flexsc_intercept_##symbol(const char* path, int flags, ...) {                        \
    FLEXSC_MODE_OF(flags, mode)                                                            \
    if (flexsc::intercept::taken(flexsc::intercept::Name::open)) {                         \
      return flexsc::open(path, flags, mode);                                              \
    }                                                                                      \
    static constinit flexsc::intercept::Next<int(const char*, int, ...)> next(#symbol);    \
    return (*next)(path, flags, mode);                                                     \
  }

#define FLEXSC_TAKE_OPENAT(symbol)                                                           \
  extern "C" int flexsc_intercept_##symbol(int dir, const char* path, int flags,             \
                                           ...) asm(#symbol);                                \
  int flexsc_intercept_##symbol(int dir, const char* path, int flags, ...) {                 \
    FLEXSC_MODE_OF(flags, mode)                                                              \
    if (flexsc::intercept::taken(flexsc::intercept::Name::openat)) {                         \
      return flexsc::openat(dir, path, flags, mode);                                         \
    }                                                                                        \
    static constinit flexsc::intercept::Next<int(int, const char*, int, ...)> next(#symbol); \
    return (*next)(dir, path, flags, mode);                                                  \
  }

// NOLINTBEGIN(clang-analyzer-valist.Uninitialized): it misses the va_start of the macro
FLEXSC_TAKE_OPEN(open)
FLEXSC_TAKE_OPEN(open64)
FLEXSC_TAKE_OPENAT(openat)
FLEXSC_TAKE_OPENAT(openat64)
// NOLINTEND(clang-analyzer-valist.Uninitialized)
FLEXSC_TAKE(int, creat, creat, (const char* path, mode_t mode), (path, mode),
            flexsc::open(path, O_CREAT | O_WRONLY | O_TRUNC, mode))
FLEXSC_TAKE(int, creat, creat64, (const char* path, mode_t mode), (path, mode),
            flexsc::open(path, O_CREAT | O_WRONLY | O_TRUNC, mode))
