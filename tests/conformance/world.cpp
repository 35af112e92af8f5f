// SPDX-License-Identifier: MIT
#include "world.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>
#include <sstream>
#include <stdexcept>
#include <system_error>

namespace flexsc::conformance {

namespace fs = std::filesystem;

namespace {

constexpr int kLast = 200;  ///< descriptors above are none of a world's
constexpr const char* kFolder = "world";

std::uint64_t hash(std::uint64_t before, const std::uint8_t* bytes, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) before = (before ^ bytes[i]) * 1099511628211U;  // FNV-1a
  return before;
}

void must(bool holds, const char* what) {
  if (!holds) throw std::system_error(errno, std::generic_category(), what);
}

void write_file(const char* name, const std::string& bytes, mode_t mode) {
  const int fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);
  must(fd >= 0, name);
  must(write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()), name);
  close(fd);
}

/// What is sent over the loopback arrives a moment later: waits until the other side has it.
void settle(int fd) {
  int domain = 0;
  socklen_t length = sizeof domain;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0 || domain != AF_INET) return;
  int unsent = 0;
  while (ioctl(fd, SIOCOUTQ, &unsent) == 0 && unsent != 0) sched_yield();
}

/// What can be read of a descriptor without waiting, in short.
void drain(int fd, std::ostream& to) {
  constexpr int kMostReads = 100;
  const int flags = fcntl(fd, F_GETFL);
  fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  std::array<std::uint8_t, 4096> buffer;
  std::uint64_t sum = 1469598103934665603U;
  std::size_t total = 0;
  ssize_t got = 0;
  for (int i = 0; i < kMostReads; ++i) {
    got = read(fd, buffer.data(), buffer.size());
    if (got <= 0) break;
    sum = hash(sum, buffer.data(), static_cast<std::size_t>(got));
    total += static_cast<std::size_t>(got);
  }
  to << " left " << total << '#' << std::hex << sum << std::dec << " then "
     << (got < 0 ? -errno : static_cast<int>(got));
}

void describe(int fd, std::ostream& to) {
  to << "fd " << fd << ':';
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) {
    to << " none\n";
    return;
  }
  struct stat status {};
  int ready = -1;
  fstat(fd, &status);
  const int asked = ioctl(fd, FIONREAD, &ready);
  to << " flags " << fcntl(fd, F_GETFD) << ' ' << flags << " mode " << status.st_mode << " at "
     << lseek(fd, 0, SEEK_CUR) << " ready " << (asked == 0 ? ready : -1);
  if (S_ISREG(status.st_mode)) to << " size " << status.st_size;
  if ((flags & O_PATH) == 0) drain(fd, to);
  to << '\n';
}

void list(std::ostream& to) {
  std::set<std::string> lines;
  for (const auto& entry : fs::recursive_directory_iterator(".")) {
    struct stat status {};
    lstat(entry.path().c_str(), &status);
    std::ostringstream line;
    line << entry.path().string() << " mode " << status.st_mode << " links " << status.st_nlink;
    if (S_ISLNK(status.st_mode)) line << " to " << fs::read_symlink(entry.path()).string();
    if (S_ISREG(status.st_mode)) {
      line << " size " << status.st_size;
      const int fd = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
      if (fd >= 0) drain(fd, line);
      close(fd);
    }
    lines.insert(line.str());
  }
  for (const std::string& line : lines) to << line << '\n';
}

}  // namespace

Memory::Memory() {
  constexpr std::size_t kAll = kWritable + kPage + kData;
  void* const got = mmap(nullptr, kAll, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  must(got != MAP_FAILED, "mmap");
  base_ = static_cast<std::uint8_t*>(got);
  for (std::size_t i = 0; i < kData; ++i) data()[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
  must(mprotect(data(), kData, PROT_READ) == 0, "mprotect");
  must(mprotect(base_ + kWritable, kPage, PROT_NONE) == 0, "mprotect");
}

Memory::~Memory() {
  munmap(base_, kWritable + kPage + kData);
}

void Memory::fill() {
  std::memset(base_, 0xa5, kOut);
  std::memset(build(), 0, kBuild);
  std::memset(build() + kBuild, 0xa5, kEdge);
}

World::World(Memory& memory, int first) : memory_(memory), first_(first) {
  memory_.fill();
}

World::~World() {
  if (others_.joinable()) others_.join();
  close_range(static_cast<unsigned>(first_), kLast, 0);
  if (files_) {
    std::error_code error;
    // The next world would be made within this one.
    if (chdir("..") != 0 || (fs::remove_all(kFolder, error), error)) std::abort();
  }
}

void World::need_files() {
  if (files_) return;
  must(mkdir(kFolder, 0755) == 0 && chdir(kFolder) == 0, kFolder);
  files_ = true;
  write_file("file", "The quick brown fox jumps over it", 0644);
  write_file("other", "", 0444);
  must(mkdir("dir", 0755) == 0, "dir");
  write_file("dir/inner", "inner", 0600);
  must(mkdir("empty", 0700) == 0, "empty");
  must(symlink("file", "link") == 0 && symlink("missing", "dangling") == 0 &&
           symlink("loop", "loop") == 0,
       "symlink");
  must(mkfifo("fifo", 0600) == 0, "mkfifo");
}

int World::descriptor(const std::string& kind) {
  const auto known = descriptors_.find(kind);
  if (known != descriptors_.end()) return known->second;
  const int fd = make_descriptor(*this, kind);
  descriptors_[kind] = fd;
  return fd;
}

void* World::reserve(std::size_t bytes, std::size_t alignment) {
  used_ = (used_ + alignment - 1) / alignment * alignment;
  if (used_ + bytes > Memory::kBuild) throw std::length_error("no memory for arguments");
  void* const at = memory_.build() + used_;
  used_ += bytes;
  return at;
}

char* World::place_text(const std::string& text) {
  char* const at = static_cast<char*>(reserve(text.size() + 1, 1));
  std::memcpy(at, text.c_str(), text.size() + 1);
  return at;
}

int World::keep(int fd) {
  must(fd >= 0, "a descriptor of a world");
  kept_.push_back(fd);
  return fd;
}

void World::meanwhile(std::function<void()> action) {
  actions_.push_back(std::move(action));
}

void World::begin() {
  if (actions_.empty()) return;
  others_ = std::thread([this] {
    usleep(300);  // so that the call waits now and then; nothing depends on it
    for (const auto& action : actions_) action();
  });
}

void World::finish() {
  if (others_.joinable()) others_.join();
}

std::string World::state() {
  std::ostringstream text;
  // Also those that the call has made, which get the numbers after the world's.
  std::set<int> all(kept_.begin(), kept_.end());
  for (int fd = first_; fd <= kLast; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) all.insert(fd);
  }
  for (const int fd : all) settle(fd);
  for (const int fd : all) describe(fd, text);
  if (files_) list(text);
  return text.str();
}

}  // namespace flexsc::conformance
