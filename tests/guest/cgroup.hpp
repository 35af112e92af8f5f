// SPDX-License-Identifier: MIT
/// @file
/// A cgroup of its own for a test, in a second mount of the hierarchy.
#pragma once

#include <string>

namespace flexsc_guest {

/// Made with it and removed with it; whatever is in it by then has to end by itself.
class Cgroup {
 public:
  /// The controllers are enabled for it, such as "+memory +cpu".
  explicit Cgroup(const std::string& controllers = "");
  ~Cgroup();
  Cgroup(const Cgroup&) = delete;
  Cgroup& operator=(const Cgroup&) = delete;

  /// False: there is no cgroup v2 here, or one of the controllers is missing.
  [[nodiscard]] bool usable() const { return usable_; }
  [[nodiscard]] bool write(const char* file, const std::string& text) const;
  [[nodiscard]] std::string read(const char* file) const;
  /// A file with one number in it.
  [[nodiscard]] long number(const char* file) const;
  /// The number behind a key in a file of lines "key number"; -1: no such key.
  [[nodiscard]] long number(const char* file, const std::string& key) const;
  /// Waits until the freezer has come to that state.
  [[nodiscard]] bool frozen(bool wanted) const;

 private:
  std::string root_ = "/tmp/flexsc-cgroup";
  std::string path_ = root_ + "/flexsc-test";
  bool usable_ = false;
};

}  // namespace flexsc_guest
