// SPDX-License-Identifier: MIT
/// @file
/// `flexsc doctor`: what is there on this machine for the kernel engine, why not, and what to do.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "flexsc/engine.hpp"

namespace flexsc::tools {

/// What was found. Nothing in it is judged.
struct Facts {
  std::string release;       ///< `uname -r`
  std::string architecture;  ///< `uname -m`
  bool module_loaded = false;
  bool module_installed = false;  ///< modprobe would find it
  std::string lockdown;           ///< "none", "integrity", "confidentiality", or "" if not known
  bool container = false;

  bool device_exists = false;
  bool device_is_special = false;  ///< a character device
  mode_t device_mode = 0;          ///< permission bits
  std::string device_owner;        ///< "root:flexsc"
  std::string user;                ///< who asks
  int device_error = 0;            ///< errno of opening it, 0 if it opened
  std::optional<unsigned> module_abi;

  int seccomp = 0;                             ///< mode of this process: 0 is none
  bool traced = false;                         ///< this process, by a debugger or strace
  unsigned cpus = 1;                           ///< on which this process may run
  std::optional<std::uint64_t> locked_memory;  ///< bytes (RLIMIT_MEMLOCK); nothing: no limit
  bool groups_readable = false;                ///< what `flexsc stat` reads

  std::vector<Availability> engines;  ///< from flexsc::probe()
  EngineChoice choice;                ///< from flexsc::choose_engine()
  /// What went wrong when a call was sent through the kernel engine; "" if it went well; nothing
  /// if it was not tried.
  std::optional<std::string> trial;
};

enum class Verdict { good, poor, bad, unknown };

struct Finding {
  Verdict verdict;
  std::string subject;
  std::string what;
  std::string next;  ///< what to do; "" if there is nothing to do
};

/// Looks at this machine. Makes one call through the kernel engine if that is available.
[[nodiscard]] Facts examine();

[[nodiscard]] std::vector<Finding> judge(const Facts& facts);

/// Whether a program can use the kernel engine here.
[[nodiscard]] bool usable(const Facts& facts);

/// For people: the findings, and what can be used.
[[nodiscard]] std::string prescription(const Facts& facts);

}  // namespace flexsc::tools
