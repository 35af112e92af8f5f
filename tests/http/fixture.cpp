// SPDX-License-Identifier: MIT
#include "fixture.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>

namespace flexsc::http::test {

namespace fs = std::filesystem;

namespace {

void put(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

fs::path make_site(const fs::path& folder) {
  const fs::path root = folder / "site";
  put(folder / "secret.txt", "secret");
  put(root / "index.html", "<p>start</p>\n");
  put(root / "small.txt", pattern(kSmall));
  put(root / "page.html", pattern(kPage));
  put(root / "medium.bin", pattern(kMedium));
  put(root / "big.bin", pattern(kBig));
  put(root / "empty.txt", "");
  put(root / "with space.txt", "spaced\n");
  put(root / "folder/index.html", "<p>folder</p>\n");
  fs::create_directory(root / "empty");
  fs::create_symlink("../secret.txt", root / "escape");
  ::mkfifo((root / "fifo").c_str(), 0600);
  return root;
}

/// The servers that tests share, and the end of them.
class SharedServers : public testing::Environment {
 public:
  std::uint16_t port(const Side& side) {
    auto& server = servers_[side.name()];
    if (server && !server->running()) server.reset();  // a test has brought it down
    if (!server) server = std::make_unique<ServerProcess>(side, site_root());
    return server->port();
  }

  void TearDown() override {
    for (auto& [name, server] : servers_) {
      const Ended ended = server->stop();
      EXPECT_EQ(ended.exit_code, 0) << name << ": " << ended.errors;
    }
    servers_.clear();
  }

 private:
  std::map<std::string, std::unique_ptr<ServerProcess>> servers_;
};

// The framework owns it.
SharedServers* const shared =
    dynamic_cast<SharedServers*>(testing::AddGlobalTestEnvironment(new SharedServers));

}  // namespace

const std::string& pattern(std::size_t size) {
  static std::mutex mutex;
  static std::map<std::size_t, std::string> made;
  const std::scoped_lock lock(mutex);
  std::string& bytes = made[size];
  if (bytes.size() == size) return bytes;
  bytes.resize(size);
  std::uint64_t state = 2463534242U + size;
  // Eight bytes at a time: sanitizers look at each access, and some files have megabytes.
  for (std::size_t at = 0; at < size; at += sizeof state) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    std::memcpy(&bytes[at], &state, std::min(sizeof state, size - at));
  }
  return bytes;
}

const fs::path& site_root() {
  static const TemporaryFolder folder;
  static const fs::path root = make_site(folder.path());
  return root;
}

void add_huge_file() {
  static const bool added = (put(site_root() / "huge.bin", pattern(kHuge)), true);
  (void)added;
}

void HttpServer::SetUp() {
  const std::string missing = GetParam().missing();
  if (!missing.empty()) GTEST_SKIP() << missing;
  port_ = shared->port(GetParam());
  ASSERT_NE(port_, 0) << "the server does not start";
}

}  // namespace flexsc::http::test
