// SPDX-License-Identifier: MIT
#include "passing.hpp"

#include <sys/socket.h>

#include <array>
#include <cstring>

namespace flexsc_guest {

namespace {
constexpr std::size_t kMost = 8;
}  // namespace

ssize_t send_fds(int socket, std::span<const int> fds, int flags) {
  char byte = 'f';
  iovec part{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMost * sizeof(int))> space{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space.data();
  message.msg_controllen = CMSG_SPACE(fds.size_bytes());
  cmsghdr* const rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(fds.size_bytes());
  std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  return ::sendmsg(socket, &message, flags);
}

}  // namespace flexsc_guest
