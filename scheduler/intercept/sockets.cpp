// SPDX-License-Identifier: MIT
// Sockets and time.
#include "flexsc/posix.hpp"
#include "take.hpp"

FLEXSC_TAKE_SAME(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
FLEXSC_TAKE_SAME(int, bind, (int fd, const struct sockaddr* address, socklen_t length),
                 (fd, address, length))
FLEXSC_TAKE_SAME(int, listen, (int fd, int backlog), (fd, backlog))
FLEXSC_TAKE_SAME(int, accept, (int fd, struct sockaddr* address, socklen_t* length),
                 (fd, address, length))
FLEXSC_TAKE_SAME(int, accept4, (int fd, struct sockaddr* address, socklen_t* length, int flags),
                 (fd, address, length, flags))
FLEXSC_TAKE_SAME(int, connect, (int fd, const struct sockaddr* address, socklen_t length),
                 (fd, address, length))
FLEXSC_TAKE_SAME(int, shutdown, (int fd, int how), (fd, how))
FLEXSC_TAKE_SAME(ssize_t, recv, (int fd, void* buffer, size_t count, int flags),
                 (fd, buffer, count, flags))
FLEXSC_TAKE_SAME(ssize_t, send, (int fd, const void* buffer, size_t count, int flags),
                 (fd, buffer, count, flags))
FLEXSC_TAKE_SAME(ssize_t, recvfrom,
                 (int fd, void* buffer, size_t count, int flags, struct sockaddr* address,
                  socklen_t* length),
                 (fd, buffer, count, flags, address, length))
FLEXSC_TAKE_SAME(ssize_t, sendto,
                 (int fd, const void* buffer, size_t count, int flags,
                  const struct sockaddr* address, socklen_t length),
                 (fd, buffer, count, flags, address, length))
FLEXSC_TAKE_SAME(ssize_t, recvmsg, (int fd, struct msghdr* message, int flags),
                 (fd, message, flags))
FLEXSC_TAKE_SAME(ssize_t, sendmsg, (int fd, const struct msghdr* message, int flags),
                 (fd, message, flags))
FLEXSC_TAKE_SAME(int, getsockopt, (int fd, int level, int name, void* value, socklen_t* length),
                 (fd, level, name, value, length))
FLEXSC_TAKE_SAME(int, setsockopt,
                 (int fd, int level, int name, const void* value, socklen_t length),
                 (fd, level, name, value, length))
FLEXSC_TAKE_SAME(int, getsockname, (int fd, struct sockaddr* address, socklen_t* length),
                 (fd, address, length))
FLEXSC_TAKE_SAME(int, getpeername, (int fd, struct sockaddr* address, socklen_t* length),
                 (fd, address, length))

FLEXSC_TAKE_SAME(int, poll, (struct pollfd * fds, nfds_t count, int timeout), (fds, count, timeout))
FLEXSC_TAKE_SAME(int, nanosleep, (const struct timespec* duration, struct timespec* remaining),
                 (duration, remaining))
FLEXSC_TAKE_SAME(int, clock_nanosleep,
                 (clockid_t clock, int flags, const struct timespec* time,
                  struct timespec* remaining),
                 (clock, flags, time, remaining))
FLEXSC_TAKE_SAME(int, usleep, (useconds_t microseconds), (microseconds))
FLEXSC_TAKE_SAME(unsigned, sleep, (unsigned seconds), (seconds))
