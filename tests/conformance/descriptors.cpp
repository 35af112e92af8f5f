// SPDX-License-Identifier: MIT
// Calls on descriptors as such, and on what a file holds.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cases.hpp"

namespace flexsc::conformance {

namespace {

constexpr std::int64_t kFar = 150;  ///< no world has so many

Values several() {
  return fds({"negative", "large", "closed", "file", "file_path", "dir", "pipe", "stream", "event",
              "epoll"});
}

void add_numbers(std::vector<Table>& to) {
  to.push_back({"close", SYS_close, {several()}});
  to.push_back({"dup", SYS_dup, {several()}});
  to.push_back({"dup2", SYS_dup2, {several(), numbers({kFar, -1, 1 << 30})}});
  to.push_back({"dup2:same", SYS_dup2, {fds({"file", "closed"}), fds({"file", "pipe"})}});
  to.push_back({"dup3",
                SYS_dup3,
                {several(), numbers({kFar, -1}),
                 named({{"usual", 0}, {"cloexec", O_CLOEXEC}, {"unknown", 1}})}});
  to.push_back({"dup3:same", SYS_dup3, {fds({"file", "closed"}), fds({"file", "pipe"}), just(0)}});
  to.push_back({"pipe2",
                SYS_pipe2,
                {{out(), read_only(), nowhere(), none()},
                 named({{"usual", 0}, {"now", O_NONBLOCK | O_CLOEXEC}, {"unknown", 1}})}});
  to.push_back({"eventfd2",
                SYS_eventfd2,
                {numbers({0, 7}), named({{"usual", 0}, {"now", EFD_NONBLOCK}, {"unknown", 4}})}});
  to.push_back({"memfd_create",
                SYS_memfd_create,
                {paths({"name", ""}),
                 named({{"usual", 0}, {"cloexec", MFD_CLOEXEC}, {"unknown", 1 << 20}})}});
  to.push_back({"epoll_create1", SYS_epoll_create1, {numbers({0, EPOLL_CLOEXEC, 1})}});
  to.push_back({"fcntl",
                SYS_fcntl,
                {several(),
                 named({{"getfd", F_GETFD},
                        {"setfd", F_SETFD},
                        {"getfl", F_GETFL},
                        {"setfl", F_SETFL},
                        {"size", F_GETPIPE_SZ},
                        {"seals", F_GET_SEALS},
                        {"unknown", 9999}}),
                 named({{"0", 0}, {"now", O_NONBLOCK}, {"minus", -1}})}});
  to.push_back(
      {"ioctl",
       SYS_ioctl,
       {several(),
        named({{"ready", FIONREAD}, {"now", FIONBIO}, {"terminal", TCGETS}, {"unknown", 0x1234}}),
        {structure<int>("one", 1), nowhere()}}});
  epoll_event event{};
  event.events = EPOLLIN;
  to.push_back({"epoll_ctl",
                SYS_epoll_ctl,
                {fds({"negative", "file", "epoll", "epoll_ready"}),
                 named({{"add", EPOLL_CTL_ADD},
                        {"change", EPOLL_CTL_MOD},
                        {"remove", EPOLL_CTL_DEL},
                        {"unknown", 99}}),
                 fds({"negative", "pipe", "file", "epoll"}),
                 {structure("event", event), none(), nowhere()}}});
}

void add_contents(std::vector<Table>& to) {
  const Values files = fds({"negative", "closed", "file", "file_ro", "file_wo", "file_path", "dir",
                            "null", "sealed", "pipe", "stream"});
  to.push_back(
      {"lseek", SYS_lseek, {files, numbers({0, 4, -1}), numbers({SEEK_SET, SEEK_END, 99})}});
  to.push_back({"fsync", SYS_fsync, {files}});
  to.push_back({"fdatasync", SYS_fdatasync, {files}});
  to.push_back({"ftruncate", SYS_ftruncate, {files, numbers({0, 4, 5000, -1, kHuge})}});
  to.push_back(
      {"truncate", SYS_truncate, {paths({"file", "dir", "missing", ""}), numbers({0, 5000, -1})}});
  to.push_back({"fallocate",
                SYS_fallocate,
                {files,
                 named({{"usual", 0},
                        {"keep", FALLOC_FL_KEEP_SIZE},
                        {"hole", FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
                        {"unknown", 1 << 20}}),
                 numbers({0, 4, -1}), numbers({0, 8, -1})}});
  to.push_back({"fadvise64",
                SYS_fadvise64,
                {files, numbers({0, -1}), numbers({8, -1, std::int64_t{1} << 33}),
                 numbers({POSIX_FADV_NORMAL, POSIX_FADV_DONTNEED, 99})}});
  to.push_back(
      {"mmap",
       SYS_mmap,
       {just(0), numbers({0, -1}), just(PROT_READ), named({{"none", 0}, {"shared", MAP_SHARED}}),
        fds({"negative", "file", "pipe"}), numbers({0, 1})}});
  to.push_back({"munmap", SYS_munmap, {numbers({1, 0}), numbers({0, 4096, -1})}});
  to.push_back({"unknown", 1999, {numbers({0, -1})}});
}

}  // namespace

void add_descriptors(std::vector<Table>& to) {
  add_numbers(to);
  add_contents(to);
}

}  // namespace flexsc::conformance
