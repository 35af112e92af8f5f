// SPDX-License-Identifier: MIT
// Files. See flexsc/posix.hpp.
#include "flexsc/posix.hpp"

#include <fcntl.h>
#include <sys/syscall.h>

#include "posix_result.hpp"

namespace flexsc {

using detail::posix_call;

long syscall(long nr, long a0, long a1, long a2, long a3, long a4, long a5) {
  return posix_call<long>(nr, a0, a1, a2, a3, a4, a5);
}

int open(const char* path, int flags, mode_t mode) {
  return flexsc::openat(AT_FDCWD, path, flags, mode);
}
int openat(int dir, const char* path, int flags, mode_t mode) {
  return posix_call(SYS_openat, dir, path, flags, mode);
}
int close(int fd) {
  return posix_call(SYS_close, fd);
}

ssize_t read(int fd, void* buffer, size_t count) {
  return posix_call<ssize_t>(SYS_read, fd, buffer, count);
}
ssize_t write(int fd, const void* buffer, size_t count) {
  return posix_call<ssize_t>(SYS_write, fd, buffer, count);
}
ssize_t readv(int fd, const struct iovec* iov, int count) {
  return posix_call<ssize_t>(SYS_readv, fd, iov, count);
}
ssize_t writev(int fd, const struct iovec* iov, int count) {
  return posix_call<ssize_t>(SYS_writev, fd, iov, count);
}
ssize_t pread(int fd, void* buffer, size_t count, off_t offset) {
  return posix_call<ssize_t>(SYS_pread64, fd, buffer, count, offset);
}
ssize_t pwrite(int fd, const void* buffer, size_t count, off_t offset) {
  return posix_call<ssize_t>(SYS_pwrite64, fd, buffer, count, offset);
}
off_t lseek(int fd, off_t offset, int whence) {
  return posix_call<off_t>(SYS_lseek, fd, offset, whence);
}

// On x86-64 struct stat is the kernel's own, so the calls fill it directly.
int fstat(int fd, struct stat* status) {
  return posix_call(SYS_fstat, fd, status);
}
int stat(const char* path, struct stat* status) {
  return flexsc::fstatat(AT_FDCWD, path, status, 0);
}
int fstatat(int dir, const char* path, struct stat* status, int flags) {
  return posix_call(SYS_newfstatat, dir, path, status, flags);
}

int fsync(int fd) {
  return posix_call(SYS_fsync, fd);
}
int fdatasync(int fd) {
  return posix_call(SYS_fdatasync, fd);
}
int ftruncate(int fd, off_t length) {
  return posix_call(SYS_ftruncate, fd, length);
}

int unlink(const char* path) {
  return posix_call(SYS_unlink, path);
}
int unlinkat(int dir, const char* path, int flags) {
  return posix_call(SYS_unlinkat, dir, path, flags);
}
int mkdirat(int dir, const char* path, mode_t mode) {
  return posix_call(SYS_mkdirat, dir, path, mode);
}
int renameat(int old_dir, const char* old_path, int new_dir, const char* new_path) {
  return posix_call(SYS_renameat, old_dir, old_path, new_dir, new_path);
}

ssize_t sendfile(int out, int in, off_t* offset, size_t count) {
  return posix_call<ssize_t>(SYS_sendfile, out, in, offset, count);
}
ssize_t splice(int in, off_t* in_offset, int out, off_t* out_offset, size_t count, unsigned flags) {
  return posix_call<ssize_t>(SYS_splice, in, in_offset, out, out_offset, count, flags);
}
int pipe2(int fds[2], int flags) {
  return posix_call(SYS_pipe2, fds, flags);
}

}  // namespace flexsc
