// SPDX-License-Identifier: MIT
/// @file
/// The fixture of tests that unload the module and load it again.
#pragma once

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <string>

#include "process.hpp"

namespace flexsc_guest {

class Module : public GuestTest {
 protected:
  void SetUp() override {
    GuestTest::SetUp();
    if (IsSkipped()) return;
    if (module_file().empty()) GTEST_SKIP() << "unloads the module: in a guest only";
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    // Loading and unloading patch the running kernel. QEMU's emulation with a thread per CPU can
    // keep the breakpoint that stood there meanwhile in the other CPU's translations for ever.
    emulated_ = read_file("/proc/cpuinfo").find("TCG") != std::string::npos;
    if (emulated_) write_file(kSecondCpu, "0");
  }
  void TearDown() override {
    if (emulated_) write_file(kSecondCpu, "1");
    GuestTest::TearDown();
  }
  static constexpr const char* kSecondCpu = "/sys/devices/system/cpu/cpu1/online";
  bool emulated_ = false;

  static long unload() { return direct(SYS_delete_module, "flexsc", O_NONBLOCK); }
  static bool unload_soon() {
    return eventually([] { return unload() == 0; });
  }
  static long load(const std::string& parameters = "") {
    const Fd file(::open(module_file().c_str(), O_RDONLY | O_CLOEXEC));
    return direct(SYS_finit_module, file.get(), parameters.c_str(), 0);
  }
  /// The device node, where nothing makes it by itself.
  static void make_node() {
    const std::string numbers = read_file("/sys/class/misc/flexsc/dev");
    const auto colon = numbers.find(':');
    REQUIRE(colon != std::string::npos);
    const auto device = ::makedev(static_cast<unsigned>(std::stoi(numbers)),
                                  static_cast<unsigned>(std::stoi(numbers.substr(colon + 1))));
    struct stat node {};
    if (eventually([&] { return ::stat(FLEXSC_DEVICE, &node) == 0 && node.st_rdev == device; },
                   2s)) {
      return;
    }
    ::unlink(FLEXSC_DEVICE);
    REQUIRE_EQ(::mknod(FLEXSC_DEVICE, S_IFCHR | 0600, device), 0);
  }
};

}  // namespace flexsc_guest
