// SPDX-License-Identifier: MIT
// Sockets. See flexsc/posix.hpp.
#include <sys/syscall.h>

#include "flexsc/posix.hpp"
#include "posix_result.hpp"

namespace flexsc {

using detail::posix_call;

int socket(int domain, int type, int protocol) {
  return posix_call(SYS_socket, domain, type, protocol);
}
int bind(int fd, const struct sockaddr* address, socklen_t length) {
  return posix_call(SYS_bind, fd, address, length);
}
int listen(int fd, int backlog) {
  return posix_call(SYS_listen, fd, backlog);
}
int accept(int fd, struct sockaddr* address, socklen_t* length) {
  return flexsc::accept4(fd, address, length, 0);
}
int accept4(int fd, struct sockaddr* address, socklen_t* length, int flags) {
  return posix_call(SYS_accept4, fd, address, length, flags);
}
int connect(int fd, const struct sockaddr* address, socklen_t length) {
  return posix_call(SYS_connect, fd, address, length);
}
int shutdown(int fd, int how) {
  return posix_call(SYS_shutdown, fd, how);
}

ssize_t recv(int fd, void* buffer, size_t count, int flags) {
  return flexsc::recvfrom(fd, buffer, count, flags, nullptr, nullptr);
}
ssize_t send(int fd, const void* buffer, size_t count, int flags) {
  return flexsc::sendto(fd, buffer, count, flags, nullptr, 0);
}
ssize_t recvfrom(int fd, void* buffer, size_t count, int flags, struct sockaddr* address,
                 socklen_t* length) {
  return posix_call<ssize_t>(SYS_recvfrom, fd, buffer, count, flags, address, length);
}
ssize_t sendto(int fd, const void* buffer, size_t count, int flags, const struct sockaddr* address,
               socklen_t length) {
  return posix_call<ssize_t>(SYS_sendto, fd, buffer, count, flags, address, length);
}
ssize_t recvmsg(int fd, struct msghdr* message, int flags) {
  return posix_call<ssize_t>(SYS_recvmsg, fd, message, flags);
}
ssize_t sendmsg(int fd, const struct msghdr* message, int flags) {
  return posix_call<ssize_t>(SYS_sendmsg, fd, message, flags);
}

int getsockopt(int fd, int level, int name, void* value, socklen_t* length) {
  return posix_call(SYS_getsockopt, fd, level, name, value, length);
}
int setsockopt(int fd, int level, int name, const void* value, socklen_t length) {
  return posix_call(SYS_setsockopt, fd, level, name, value, length);
}
int getsockname(int fd, struct sockaddr* address, socklen_t* length) {
  return posix_call(SYS_getsockname, fd, address, length);
}
int getpeername(int fd, struct sockaddr* address, socklen_t* length) {
  return posix_call(SYS_getpeername, fd, address, length);
}

}  // namespace flexsc
