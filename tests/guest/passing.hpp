// SPDX-License-Identifier: MIT
/// @file
/// Descriptors in messages between Unix sockets.
#pragma once

#include <sys/types.h>

#include <span>

namespace flexsc_guest {

/// Sends a byte, and with it at most 8 descriptors. What sendmsg() returns.
ssize_t send_fds(int socket, std::span<const int> fds, int flags = 0);

}  // namespace flexsc_guest
