// SPDX-License-Identifier: MIT
/// @file
/// The system calls with which the request handler gets at a file.
#pragma once

#include <linux/openat2.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "flexsc/chain.hpp"

namespace flexsc::http {

/// What a call made just now returned, or -errno.
[[nodiscard]] inline long with_errno(long result) noexcept {
  return result < 0 ? -errno : result;
}

/// How files are opened: below a folder. Does not wait for a FIFO's writer.
[[nodiscard]] const open_how& beneath() noexcept;

/// Opens a file below the folder `root`, never outside of it, and asks for its status. The
/// descriptor, or -errno. Does not wait for a FIFO's writer. With `chain`, which is overwritten,
/// both calls are made as one; only in a fiber.
[[nodiscard]] long open_with_status(Chain* chain, int root, const std::string& path,
                                    struct stat& status);

}  // namespace flexsc::http
