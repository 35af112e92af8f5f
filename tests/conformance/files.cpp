// SPDX-License-Identifier: MIT
// Files by name, and what is asked of files.
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

#include "cases.hpp"

namespace flexsc::conformance {

namespace {

const char* const kLong =
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
    "nnnn"
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
    "nnnn"
    "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
    "nnnn";

void clear(std::uint8_t* at, std::size_t offset, std::size_t bytes) {
  std::memset(at + offset, 0, bytes);
}

const Mask kStat{
    "Each file has an inode number and times of its own, and blocks of the disk when "
    "the file system thinks of it.",
    false, [](std::uint8_t* out) {
      clear(out, offsetof(struct stat, st_ino), sizeof(ino_t));
      clear(out, offsetof(struct stat, st_blocks), sizeof(blkcnt_t));
      clear(out, offsetof(struct stat, st_atim), 3 * sizeof(timespec));
    }};
const Mask kStatx{kStat.reason, false, [](std::uint8_t* out) {
                    clear(out, offsetof(struct statx, stx_ino), 8);
                    clear(out, offsetof(struct statx, stx_blocks), 8);
                    clear(out, offsetof(struct statx, stx_atime), 4 * sizeof(statx_timestamp));
                  }};
const Mask kNames{"Of entries of folders, inode numbers and positions are the file system's own.",
                  false, [](std::uint8_t* out) {
                    for (const std::size_t at : {0U, 24U, 48U}) clear(out, at, 16);
                  }};

Values names() {
  return paths({"file", "link", "dir", "dir/inner", "file/inner", "missing", "missing/more",
                "dangling", "loop", "", ".", kLong});
}

Values folders() {
  return fds({"here", "dir", "dir_path", "file", "negative", "large"});
}

Value how(std::string name, std::uint64_t flags, std::uint64_t mode, std::uint64_t resolve) {
  open_how value{};
  value.flags = flags;
  value.mode = mode;
  value.resolve = resolve;
  return structure(std::move(name), value);
}

void add_opens(std::vector<Table>& to) {
  const Values flags = named({{"read", O_RDONLY},
                              {"write", O_WRONLY | O_CLOEXEC},
                              {"both_now", O_RDWR | O_NONBLOCK},
                              {"create", O_RDWR | O_CREAT},
                              {"create_new", O_WRONLY | O_CREAT | O_EXCL},
                              {"truncate", O_RDWR | O_TRUNC},
                              {"folder", O_RDONLY | O_DIRECTORY},
                              {"create_folder", O_CREAT | O_DIRECTORY},
                              {"no_link", O_RDONLY | O_NOFOLLOW},
                              {"path", O_PATH | O_NOFOLLOW},
                              {"temporary", O_TMPFILE | O_RDWR},
                              {"unknown", 1 << 30}});
  to.push_back({"open", SYS_open, {names(), flags, just(0640)}});
  to.push_back(
      {"openat",
       SYS_openat,
       {folders(), paths({"file", "inner", "missing", "", "../file"}), flags, just(0640)}});
  to.push_back({"open:fifo",
                SYS_open,
                {paths({"fifo"}),
                 named({{"now", O_RDONLY | O_NONBLOCK},
                        {"write_now", O_WRONLY | O_NONBLOCK},
                        {"both", O_RDWR}}),
                 just(0)}});
  to.push_back({"creat", SYS_creat, {names(), numbers({0600, 07777})}});
  to.push_back(
      {"openat2",
       SYS_openat2,
       {fds({"here", "dir"}),
        paths({"file", "inner", "link"}),
        {how("read", O_RDONLY, 0, 0), how("mode", O_RDONLY, 0600, 0),
         how("create", O_CREAT | O_RDWR, 0600, 0), how("beneath", O_RDONLY, 0, RESOLVE_BENEATH),
         how("no_links", O_RDONLY, 0, RESOLVE_NO_SYMLINKS), how("unknown", O_RDONLY, 0, 1U << 30),
         how("flag", 1ULL << 40, 0, 0), nowhere()},
        just(24)}});
  to.push_back({"openat2:sizes",
                SYS_openat2,
                {fds({"here", "negative"}),
                 paths({"file"}),
                 {how("read", O_RDONLY, 0, 0), none()},
                 numbers({0, 8, 32, 4096, 5000})}});
}

void add_status(std::vector<Table>& to) {
  to.push_back({"stat", SYS_stat, {names(), {out(), nowhere()}}, kStat});
  to.push_back({"lstat", SYS_lstat, {names(), {out(), nowhere()}}, kStat});
  to.push_back({"fstat",
                SYS_fstat,
                {fds({"negative", "closed", "file", "file_path", "dir", "pipe", "stream", "event",
                      "epoll", "sealed"}),
                 {out(), nowhere()}},
                kStat});
  to.push_back({"newfstatat",
                SYS_newfstatat,
                {fds({"here", "dir", "negative"}),
                 paths({"file", "inner", ""}),
                 {out(), nowhere()},
                 named({{"usual", 0},
                        {"itself", AT_EMPTY_PATH},
                        {"link", AT_SYMLINK_NOFOLLOW},
                        {"unknown", 1 << 30}})},
                kStat});
  to.push_back({"statx",
                SYS_statx,
                {fds({"here", "dir", "negative"}),
                 paths({"file", "inner", "link", ""}),
                 named({{"usual", 0},
                        {"itself", AT_EMPTY_PATH},
                        {"link", AT_SYMLINK_NOFOLLOW},
                        {"both", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC},
                        {"unknown", 1 << 30}}),
                 named({{"basic", STATX_BASIC_STATS}, {"reserved", 0x80000000LL}}),
                 {out()}},
                kStatx});
  to.push_back({"statx:out",
                SYS_statx,
                {fds({"here", "file"}),
                 paths({"file", ""}),
                 named({{"usual", 0}, {"itself", AT_EMPTY_PATH}}),
                 named({{"basic", STATX_BASIC_STATS}, {"none", 0}}),
                 {out(), nowhere()}},
                kStatx});
  to.push_back({"access", SYS_access, {names(), numbers({F_OK, R_OK | X_OK, 99})}});
  to.push_back({"faccessat2",
                SYS_faccessat2,
                {fds({"here", "dir", "file"}), paths({"file", "inner", ""}), numbers({F_OK, 99}),
                 named({{"usual", 0}, {"itself", AT_EMPTY_PATH}, {"unknown", 1 << 30}})}});
  to.push_back({"readlink", SYS_readlink, {names(), {out(), nowhere()}, numbers({-1, 0, 2, 100})}});
  to.push_back({"getdents64",
                SYS_getdents64,
                {fds({"negative", "file", "dir", "dir_path", "pipe"}),
                 {out(), nowhere()},
                 numbers({0, 10, 4000})},
                kNames});
  to.push_back({"getcwd", SYS_getcwd, {paths({}), numbers({0, 1, 100})}});
}

void add_names(std::vector<Table>& to) {
  const Values targets = paths({"fresh", "file", "dir", "empty", "dir/fresh", "missing/fresh", ""});
  to.push_back({"rename", SYS_rename, {names(), targets}});
  to.push_back({"renameat2",
                SYS_renameat2,
                {fds({"here", "dir", "file"}), paths({"file", "inner"}), fds({"here"}),
                 paths({"fresh", "other"}),
                 named({{"usual", 0},
                        {"keep", RENAME_NOREPLACE},
                        {"exchange", RENAME_EXCHANGE},
                        {"both", RENAME_NOREPLACE | RENAME_EXCHANGE},
                        {"unknown", 1 << 20}})}});
  to.push_back({"link", SYS_link, {names(), targets}});
  to.push_back(
      {"linkat",
       SYS_linkat,
       {fds({"here", "dir", "file"}), paths({"link", "inner", ""}), fds({"here"}), paths({"fresh"}),
        named({{"usual", 0},
               {"follow", AT_SYMLINK_FOLLOW},
               {"itself", AT_EMPTY_PATH},
               {"unknown", 1 << 30}})}});
  to.push_back({"symlink", SYS_symlink, {names(), targets}});
  to.push_back(
      {"symlinkat", SYS_symlinkat, {paths({"file", ""}), folders(), paths({"fresh", "file"})}});
  to.push_back({"unlink", SYS_unlink, {names()}});
  to.push_back(
      {"unlinkat",
       SYS_unlinkat,
       {fds({"here", "dir", "file", "negative"}), paths({"file", "inner", "dir", "empty", ""}),
        named({{"file", 0}, {"folder", AT_REMOVEDIR}, {"unknown", 1 << 30}})}});
  to.push_back(
      {"rmdir", SYS_rmdir, {paths({"file", "link", "dir", "empty", "missing", "", ".", kLong})}});
  to.push_back({"mkdir", SYS_mkdir, {names(), numbers({0700, 07777})}});
  to.push_back({"mkdirat", SYS_mkdirat, {folders(), targets, just(0755)}});
  to.push_back({"chmod", SYS_chmod, {names(), numbers({0400, 017777})}});
}

}  // namespace

void add_files(std::vector<Table>& to) {
  add_opens(to);
  add_status(to);
  add_names(to);
}

}  // namespace flexsc::conformance
