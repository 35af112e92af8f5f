// SPDX-License-Identifier: MIT
/// @file
/// POSIX-shaped system calls: inside a fiber they park the fiber, inside a batch segment
/// of a plain thread they are recorded, else they are direct. Results and errno are
/// those of the direct call.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

namespace flexsc {

/// Any system call by number (SYS_...); -1 and errno on failure.
long syscall(long nr, long a0 = 0, long a1 = 0, long a2 = 0, long a3 = 0, long a4 = 0, long a5 = 0);

// Each behaves as the POSIX or Linux function of its name.
int open(const char* path, int flags, mode_t mode = 0);
int openat(int dir, const char* path, int flags, mode_t mode = 0);
int close(int fd);
ssize_t read(int fd, void* buffer, size_t count);
ssize_t write(int fd, const void* buffer, size_t count);
ssize_t readv(int fd, const struct iovec* iov, int count);
ssize_t writev(int fd, const struct iovec* iov, int count);
ssize_t pread(int fd, void* buffer, size_t count, off_t offset);
ssize_t pwrite(int fd, const void* buffer, size_t count, off_t offset);
off_t lseek(int fd, off_t offset, int whence);
int fstat(int fd, struct stat* status);
int stat(const char* path, struct stat* status);
int fstatat(int dir, const char* path, struct stat* status, int flags);
int fsync(int fd);
int fdatasync(int fd);
int ftruncate(int fd, off_t length);
int unlink(const char* path);
int unlinkat(int dir, const char* path, int flags);
int mkdirat(int dir, const char* path, mode_t mode);
int renameat(int old_dir, const char* old_path, int new_dir, const char* new_path);
ssize_t sendfile(int out, int in, off_t* offset, size_t count);
ssize_t splice(int in, off_t* in_offset, int out, off_t* out_offset, size_t count, unsigned flags);
int pipe2(int fds[2], int flags);

int socket(int domain, int type, int protocol);
int bind(int fd, const struct sockaddr* address, socklen_t length);
int listen(int fd, int backlog);
int accept(int fd, struct sockaddr* address, socklen_t* length);
int accept4(int fd, struct sockaddr* address, socklen_t* length, int flags);
int connect(int fd, const struct sockaddr* address, socklen_t length);
int shutdown(int fd, int how);
ssize_t recv(int fd, void* buffer, size_t count, int flags);
ssize_t send(int fd, const void* buffer, size_t count, int flags);
ssize_t recvfrom(int fd, void* buffer, size_t count, int flags, struct sockaddr* address,
                 socklen_t* length);
ssize_t sendto(int fd, const void* buffer, size_t count, int flags, const struct sockaddr* address,
               socklen_t length);
ssize_t recvmsg(int fd, struct msghdr* message, int flags);
ssize_t sendmsg(int fd, const struct msghdr* message, int flags);
int getsockopt(int fd, int level, int name, void* value, socklen_t* length);
int setsockopt(int fd, int level, int name, const void* value, socklen_t length);
int getsockname(int fd, struct sockaddr* address, socklen_t* length);
int getpeername(int fd, struct sockaddr* address, socklen_t* length);

// Sleeping fibers that are cancelled (Fiber::cancel()) get ECANCELED: C code that may lie in
// between knows no exceptions.
int poll(struct pollfd* fds, nfds_t count, int timeout_ms);
int nanosleep(const struct timespec* duration, struct timespec* remaining);
/// Returns an error number and leaves errno alone, as the POSIX function does. Inside a fiber
/// CLOCK_REALTIME and CLOCK_MONOTONIC use the carrier's timers (a clock that is set forward
/// is noticed at the end of the sleep); other clocks are posted.
int clock_nanosleep(clockid_t clock, int flags, const struct timespec* time,
                    struct timespec* remaining);
int usleep(useconds_t microseconds);
unsigned sleep(unsigned seconds);

}  // namespace flexsc
