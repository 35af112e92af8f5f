// SPDX-License-Identifier: MIT
/// @file
/// A site with known contents, and a server per configuration that serves it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "driver/client.hpp"
#include "driver/server_process.hpp"

namespace flexsc::http::test {

using driver::all_sides;
using driver::Client;
using driver::Ended;
using driver::request_for;
using driver::Response;
using driver::ServerProcess;
using driver::Side;
using driver::TemporaryFolder;

/// Bytes that differ at every place and between sizes, so that a swapped, repeated or
/// missing piece shows. Kept for the life of the program. Thread-safe.
[[nodiscard]] const std::string& pattern(std::size_t size);

inline constexpr std::size_t kSmall = 1024;
inline constexpr std::size_t kPage = 4729;  ///< the page of the cluster-call measurements
inline constexpr std::size_t kMedium = 200 * 1024;
inline constexpr std::size_t kBig = 1024 * 1024;
/// More than the socket buffers of both ends ever hold (4 MiB and what a test chooses), so
/// that a server cannot be done with it before its client has read.
inline constexpr std::size_t kHuge = 12 * 1024 * 1024;

/// The files of the site that all tests share: index.html, small.txt, page.html, big.bin,
/// empty.txt, "with space.txt", folder/index.html, empty/, fifo, and escape, a symbolic
/// link to a file beside the site.
[[nodiscard]] const std::filesystem::path& site_root();

/// Adds huge.bin, which takes too long to make for tests that do not want it.
void add_huge_file();

/// Every test of this fixture runs against every Side. One server per side serves all
/// tests that do not start one of their own.
class HttpServer : public testing::TestWithParam<Side> {
 protected:
  void SetUp() override;
  /// Port of the shared server.
  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }

 private:
  std::uint16_t port_ = 0;
};

#define FLEXSC_HTTP_SUITE(suite)                     \
  INSTANTIATE_TEST_SUITE_P(                          \
      Models, suite, testing::ValuesIn(all_sides()), \
      [](const testing::TestParamInfo<Side>& info_of_side) { return info_of_side.param.name(); })

}  // namespace flexsc::http::test
