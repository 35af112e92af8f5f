// SPDX-License-Identifier: MIT
#include "cgroup.hpp"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sstream>

#include "process.hpp"

namespace flexsc_guest {

Cgroup::Cgroup(const std::string& controllers) {
  ::mkdir("/tmp", 01777);
  ::mkdir(root_.c_str(), 0700);
  if (::mount("none", root_.c_str(), "cgroup2", 0, nullptr) < 0) return;
  if (!controllers.empty() && !write_file(root_ + "/cgroup.subtree_control", controllers)) return;
  ::mkdir(path_.c_str(), 0700);
  usable_ = ::access((path_ + "/cgroup.freeze").c_str(), W_OK) == 0;
}

Cgroup::~Cgroup() {
  eventually([&] { return ::rmdir(path_.c_str()) == 0 || errno == ENOENT; }, 10s);
  ::umount2(root_.c_str(), MNT_DETACH);
  ::rmdir(root_.c_str());
}

bool Cgroup::write(const char* file, const std::string& text) const {
  return write_file(path_ + "/" + file, text);
}

std::string Cgroup::read(const char* file) const {
  return read_file(path_ + "/" + file);
}

long Cgroup::number(const char* file) const {
  const std::string text = read(file);
  REQUIRE(!text.empty());
  return std::stol(text);
}

long Cgroup::number(const char* file, const std::string& key) const {
  std::istringstream lines(read(file));
  std::string name;
  long value = 0;
  while (lines >> name >> value) {
    if (name == key) return value;
  }
  return -1;
}

bool Cgroup::frozen(bool wanted) const {
  return eventually([&] { return number("cgroup.events", "frozen") == (wanted ? 1 : 0); });
}

}  // namespace flexsc_guest
