// SPDX-License-Identifier: MIT
/// Description: each thing that can be wrong with a machine is found, and has a next step.
#include "doctor.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "flexsc/uapi.h"

namespace flexsc::test {
namespace {

using tools::Facts;
using tools::Finding;
using tools::judge;
using tools::prescription;
using tools::usable;
using tools::Verdict;

/// A machine on which everything is as it should be.
Facts healthy() {
  Facts facts;
  facts.release = "6.1.0-56-amd64";
  facts.architecture = "x86_64";
  facts.module_loaded = true;
  facts.lockdown = "none";
  facts.device_exists = true;
  facts.device_is_special = true;
  facts.device_mode = 0660;
  facts.device_owner = "root:flexsc";
  facts.user = "ada";
  facts.module_abi = FLEXSC_ABI_VERSION;
  facts.cpus = 4;
  facts.groups_readable = true;
  facts.engines = {{EngineKind::kernel, true, "found"}, {EngineKind::direct, true, "plain"}};
  facts.choice = {EngineKind::kernel, "found"};
  facts.trial = "";
  return facts;
}

Finding about(const Facts& facts, const std::string& subject) {
  for (const Finding& finding : judge(facts)) {
    if (finding.subject == subject) return finding;
  }
  ADD_FAILURE() << "nothing about " << subject;
  return {};
}

void expect(const Facts& facts, const std::string& subject, Verdict verdict,
            const std::string& next) {
  const Finding found = about(facts, subject);
  EXPECT_EQ(found.verdict, verdict) << found.what;
  EXPECT_NE(found.next.find(next), std::string::npos) << found.next;
}

TEST(Doctor, NothingToDo) {
  const Facts facts = healthy();
  EXPECT_TRUE(usable(facts));
  for (const Finding& finding : judge(facts)) {
    EXPECT_EQ(finding.verdict, Verdict::good) << finding.subject << ": " << finding.what;
    EXPECT_EQ(finding.next, "");
  }
  EXPECT_EQ(prescription(facts).find("next:"), std::string::npos);
}

TEST(Doctor, WhatIsNotGoodHasANextStep) {
  Facts facts;  // nothing is there at all
  facts.engines = {{EngineKind::kernel, false, "there is no device: load the module"}};
  EXPECT_FALSE(usable(facts));
  unsigned bad = 0;
  for (const Finding& finding : judge(facts)) {
    const bool wrong = finding.verdict == Verdict::bad || finding.verdict == Verdict::poor;
    EXPECT_EQ(wrong, !finding.next.empty()) << finding.subject;
    bad += finding.verdict == Verdict::bad ? 1 : 0;
  }
  EXPECT_GE(bad, 2U);
  EXPECT_NE(prescription(facts).find("not available: there is no device"), std::string::npos);
}

TEST(Doctor, Kernel) {
  Facts facts = healthy();
  facts.module_loaded = false;
  for (const char* release : {"6.1.0", "6.6.3", "6.12.117+deb12-amd64"}) {
    facts.release = release;
    EXPECT_EQ(about(facts, "kernel").verdict, Verdict::good) << release;
  }
  for (const char* release : {"5.10.0-30", "6.0.1", "6.13.0", "7.1.0", "strange"}) {
    facts.release = release;
    expect(facts, "kernel", Verdict::bad, "6.1 to 6.12");
  }
  facts.architecture = "aarch64";
  expect(facts, "kernel", Verdict::bad, "x86-64");
}

TEST(Doctor, Module) {
  Facts facts = healthy();
  facts.module_loaded = false;
  expect(facts, "module", Verdict::bad, "insmod");
  expect(facts, "module", Verdict::bad, "linux-headers-6.1.0-56-amd64");
  facts.module_installed = true;
  expect(facts, "module", Verdict::bad, "modprobe flexsc");
  facts.lockdown = "integrity";
  expect(facts, "module", Verdict::bad, "Secure Boot");
  facts.container = true;
  expect(facts, "module", Verdict::bad, "outside of this container");
}

TEST(Doctor, Device) {
  Facts facts = healthy();
  facts.device_is_special = false;
  expect(facts, "device", Verdict::bad, "remove");
  facts.device_exists = false;
  expect(facts, "device", Verdict::bad, "devtmpfs");
  EXPECT_EQ(about(facts, "permission").verdict, Verdict::unknown);
  facts.container = true;
  expect(facts, "device", Verdict::bad, "--device");
  facts.module_loaded = false;
  expect(facts, "device", Verdict::unknown, "");
}

TEST(Doctor, Permission) {
  Facts facts = healthy();
  facts.device_error = EACCES;
  facts.trial.reset();
  expect(facts, "permission", Verdict::bad, "usermod -aG flexsc ada");
  EXPECT_NE(about(facts, "permission").what.find("root:flexsc, mode 0660"), std::string::npos);
  EXPECT_FALSE(usable(facts));
  facts.device_error = EMFILE;
  expect(facts, "permission", Verdict::bad, "dmesg");
  // Under a filter the module itself says EACCES.
  facts.device_error = EACCES;
  facts.seccomp = 2;
  expect(facts, "permission", Verdict::unknown, "");
}

TEST(Doctor, Filter) {
  Facts facts = healthy();
  facts.seccomp = 2;
  expect(facts, "filter", Verdict::bad, "seccomp=unconfined");
  facts.traced = true;
  expect(facts, "filter", Verdict::bad, "strace");
}

TEST(Doctor, Version) {
  Facts facts = healthy();
  facts.module_abi = FLEXSC_ABI_VERSION + 1;
  expect(facts, "version", Verdict::bad, "same release");
  facts.module_abi.reset();
  expect(facts, "version", Verdict::unknown, "");
}

TEST(Doctor, Cpus) {
  Facts facts = healthy();
  facts.cpus = 1;
  expect(facts, "cpus", Verdict::poor, "taskset");
  EXPECT_TRUE(usable(facts)) << "slower is not unusable";
}

TEST(Doctor, Memory) {
  Facts facts = healthy();
  constexpr std::uint64_t channel = FLEXSC_HEADER_BYTES + 8 * FLEXSC_PAGE_BYTES;
  facts.locked_memory = channel - 1;
  expect(facts, "memory", Verdict::bad, "ulimit -l");
  facts.locked_memory = channel;
  expect(facts, "memory", Verdict::poor, "ulimit -l");
  facts.locked_memory = 4 * channel;
  expect(facts, "memory", Verdict::good, "");
}

TEST(Doctor, Statistics) {
  Facts facts = healthy();
  facts.groups_readable = false;
  expect(facts, "statistics", Verdict::poor, "as root");
  EXPECT_TRUE(usable(facts));
}

TEST(Doctor, Trial) {
  Facts facts = healthy();
  facts.trial = "starting kernel workers failed at the limit of threads: raise `ulimit -u`";
  expect(facts, "trial", Verdict::bad, "raise `ulimit -u`");
  EXPECT_EQ(about(facts, "trial").what, "starting kernel workers failed at the limit of threads");
  EXPECT_FALSE(usable(facts));
  facts.trial = "odd";
  expect(facts, "trial", Verdict::bad, "dmesg");
  facts.trial.reset();
  expect(facts, "trial", Verdict::unknown, "");
  EXPECT_FALSE(usable(facts));
}

struct Ran {
  int status;
  std::string output;
};

Ran run(const std::string& arguments) {
  FILE* pipe = ::popen((std::string(FLEXSC_PROGRAM " ") + arguments + " 2>&1").c_str(), "r");
  std::string output;
  std::array<char, 4096> some{};
  std::size_t got = 0;
  while ((got = std::fread(some.data(), 1, some.size(), pipe)) > 0) output.append(some.data(), got);
  return {WEXITSTATUS(::pclose(pipe)), output};
}

// Here there is no module; where there is one, tests/guest runs the program.
TEST(Program, DoctorWithoutTheModule) {
  for (const Availability& engine : probe()) {
    if (engine.kind == EngineKind::kernel && engine.available) GTEST_SKIP() << engine.reason;
  }
  const Ran ran = run("doctor");
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.output.find("next: "), std::string::npos) << ran.output;
  EXPECT_NE(ran.output.find("engine kernel        not available"), std::string::npos) << ran.output;
  EXPECT_NE(ran.output.find("engine threads       available"), std::string::npos) << ran.output;
}

TEST(Program, StatOfWhatIsNotThere) {
  const Ran ran = run("stat --file /does/not/exist");
  EXPECT_EQ(ran.status, 1);
  EXPECT_NE(ran.output.find("flexsc: cannot read /does/not/exist"), std::string::npos)
      << ran.output;
}

TEST(Program, BadOptions) {
  EXPECT_NE(run("").status, 0);
  EXPECT_NE(run("stat --interval 0").status, 0);
  EXPECT_NE(run("stat --count 0").status, 0);
  EXPECT_NE(run("stat --pid x").status, 0);
  EXPECT_EQ(run("stat --help").status, 0);
}

}  // namespace
}  // namespace flexsc::test
