// SPDX-License-Identifier: MIT
#include "doctor.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include "flexsc/uapi.h"

namespace flexsc::tools {

namespace {

/// Pages of the smallest channel that a program gets if it asks for nothing: EngineOptions.
std::uint64_t channel_bytes() {
  return FLEXSC_HEADER_BYTES + std::uint64_t{EngineOptions{}.pages_per_channel} * FLEXSC_PAGE_BYTES;
}

Finding good(std::string subject, std::string what) {
  return {Verdict::good, std::move(subject), std::move(what), ""};
}

Finding bad(std::string subject, std::string what, std::string next) {
  return {Verdict::bad, std::move(subject), std::move(what), std::move(next)};
}

Finding poor(std::string subject, std::string what, std::string next) {
  return {Verdict::poor, std::move(subject), std::move(what), std::move(next)};
}

Finding unknown(std::string subject, std::string what) {
  return {Verdict::unknown, std::move(subject), std::move(what), ""};
}

/// 6.1 to 6.12, as kmod/compat.h.
bool supported(const std::string& release) {
  int major = 0;
  int minor = 0;
  if (std::sscanf(release.c_str(), "%d.%d", &major, &minor) != 2) return false;
  return major == 6 && minor >= 1 && minor <= 12;
}

bool locked_down(const Facts& facts) {
  return facts.lockdown == "integrity" || facts.lockdown == "confidentiality";
}

Finding kernel(const Facts& facts) {
  const std::string name = "Linux " + facts.release + " on " + facts.architecture;
  if (facts.architecture != "x86_64") {
    return bad("kernel", name, "use an x86-64 machine: the module is for no other");
  }
  if (!supported(facts.release) && !facts.module_loaded) {
    return bad("kernel", name, "boot a kernel from 6.1 to 6.12: the module is made for these");
  }
  return good("kernel", name);
}

Finding module(const Facts& facts) {
  if (facts.module_loaded) return good("module", "loaded");
  if (facts.container) {
    return bad("module", "not loaded", "load it outside of this container: `modprobe flexsc`");
  }
  if (locked_down(facts)) {
    return bad("module", "not loaded, and the kernel is locked down (" + facts.lockdown + ")",
               "sign the module with a key that the kernel trusts, or disable Secure Boot; then "
               "`modprobe flexsc`");
  }
  if (facts.module_installed) return bad("module", "installed, not loaded", "`modprobe flexsc`");
  return bad("module", "neither loaded nor installed for this kernel",
             "`make -C kmod` and `insmod kmod/flexsc.ko`, with the headers of this kernel "
             "(linux-headers-" +
                 facts.release + ") installed");
}

Finding device(const Facts& facts) {
  if (facts.device_exists && facts.device_is_special) {
    return good("device", FLEXSC_DEVICE " is there");
  }
  if (facts.device_exists) {
    return bad("device", FLEXSC_DEVICE " is not a device", "remove what is in its place");
  }
  if (!facts.module_loaded) return unknown("device", "comes with the module");
  if (facts.container) {
    return bad("device", "not in this container",
               "give it to the container, for example with `--device " FLEXSC_DEVICE "`");
  }
  return bad(
      "device", "the module is loaded and " FLEXSC_DEVICE " is not there",
      "see that /dev is a devtmpfs, or make the node: numbers in /sys/class/misc/flexsc/dev");
}

/// Whether opening was refused by what the file's mode says, and not by the module.
bool not_permitted(const Facts& facts) {
  return (facts.device_error == EACCES || facts.device_error == EPERM) && facts.seccomp == 0 &&
         !facts.traced;
}

Finding permission(const Facts& facts) {
  if (!facts.device_exists) return unknown("permission", "cannot be told without the device");
  std::array<char, 8> mode{};
  std::snprintf(mode.data(), mode.size(), "%04o", static_cast<unsigned>(facts.device_mode));
  const std::string owner = facts.device_owner + ", mode " + mode.data();
  if (facts.device_error == 0) return good("permission", "may be opened by " + facts.user);
  if (not_permitted(facts)) {
    return bad("permission", facts.user + " may not open it (it is " + owner + ")",
               "`groupadd flexsc`, a udev rule `KERNEL==\"flexsc\", GROUP=\"flexsc\", "
               "MODE=\"0660\"`, `usermod -aG flexsc " +
                   facts.user + "`, then log in again");
  }
  if (facts.seccomp != 0 || facts.traced) {
    return unknown("permission", "cannot be told under a filter or trace");
  }
  return bad("permission",
             "opening it fails: " + std::generic_category().message(facts.device_error),
             "see the kernel's log (`dmesg`)");
}

Finding filter(const Facts& facts) {
  if (facts.traced) {
    return bad("filter", "this process is traced", "run it without strace or a debugger");
  }
  if (facts.seccomp != 0) {
    return bad("filter", "this process is under a seccomp filter",
               "run it without: outside of the container's or service's profile "
               "(`--security-opt seccomp=unconfined`, SystemCallFilter=)");
  }
  return good("filter", "neither seccomp nor trace");
}

Finding version(const Facts& facts) {
  const std::string ours = std::to_string(FLEXSC_ABI_VERSION);
  if (!facts.module_abi) return unknown("version", "library: ABI " + ours + "; module: not known");
  if (*facts.module_abi == FLEXSC_ABI_VERSION) return good("version", "ABI " + ours);
  return bad("version",
             "module: ABI " + std::to_string(*facts.module_abi) + ", library: ABI " + ours,
             "install module and library of the same release");
}

Finding cpus(const Facts& facts) {
  if (facts.cpus > 1) {
    return good("cpus", std::to_string(facts.cpus) + ": workers can have a CPU of their own");
  }
  return poor("cpus", "1: workers share it with the program",
              "allow a second one (`taskset`, cpuset), or rely on flush and on waits that help");
}

Finding memory(const Facts& facts) {
  if (!facts.locked_memory) return good("memory", "no limit of locked memory");
  const std::uint64_t channels = *facts.locked_memory / channel_bytes();
  const std::string what = std::to_string(*facts.locked_memory / 1024) +
                           " KiB of locked memory: " + std::to_string(channels) +
                           " channels of the usual size";
  if (channels == 0) return bad("memory", what, "raise `ulimit -l`");
  if (channels < facts.cpus) {
    return poor("memory", what + ", fewer than CPUs", "raise `ulimit -l`");
  }
  return good("memory", what);
}

Finding statistics(const Facts& facts) {
  if (facts.groups_readable) return good("statistics", "`flexsc stat` can read them");
  return poor("statistics", "`flexsc stat` cannot read them",
              "run it as root, with debugfs mounted on /sys/kernel/debug");
}

Finding trial(const Facts& facts) {
  if (!facts.trial) return unknown("trial", "not tried");
  if (facts.trial->empty()) return good("trial", "a call went through a kernel worker");
  // The library's sentences say what to do after the last colon.
  const auto colon = facts.trial->rfind(": ");
  if (colon == std::string::npos) {
    return bad("trial", *facts.trial, "see the kernel's log (`dmesg`)");
  }
  return bad("trial", facts.trial->substr(0, colon), facts.trial->substr(colon + 2));
}

const char* word(Verdict verdict) {
  switch (verdict) {
    case Verdict::good:
      return "ok";
    case Verdict::poor:
      return "warning";
    case Verdict::bad:
      return "FAILED";
    default:
      return "-";
  }
}

std::string padded(std::string text, std::size_t width) {
  text.resize(std::max(width, text.size()), ' ');
  return text;
}

}  // namespace

std::vector<Finding> judge(const Facts& facts) {
  return {kernel(facts),  module(facts), device(facts), permission(facts), filter(facts),
          version(facts), cpus(facts),   memory(facts), statistics(facts), trial(facts)};
}

bool usable(const Facts& facts) {
  return facts.trial && facts.trial->empty();
}

std::string prescription(const Facts& facts) {
  constexpr std::size_t verdicts = 9;
  constexpr std::size_t subjects = 12;
  std::string text;
  for (const Finding& finding : judge(facts)) {
    text += padded(word(finding.verdict), verdicts) + padded(finding.subject, subjects) +
            finding.what + "\n";
    if (!finding.next.empty()) {
      text += std::string(verdicts + subjects, ' ') + "next: " + finding.next + "\n";
    }
  }
  text += "\n";
  for (const Availability& engine : facts.engines) {
    text += padded("engine " + std::string(to_string(engine.kind)), verdicts + subjects) +
            (engine.available ? "available: " : "not available: ") + engine.reason + "\n";
  }
  text += padded("engine auto", verdicts + subjects) + std::string(to_string(facts.choice.kind)) +
          ": " + facts.choice.reason + "\n";
  return text;
}

}  // namespace flexsc::tools
