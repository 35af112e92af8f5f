// SPDX-License-Identifier: MIT
/// Description: every reason for which the kernel engine cannot be used has a sentence of
/// its own that says what to do.
#include "probe.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <set>

#include "flexsc/uapi.h"
#include "kernel_engine.hpp"
#include "support.hpp"

namespace flexsc::test {
namespace {

using detail::explain;
using detail::Stage;

bool says(const std::string& sentence, const std::string& part) {
  return sentence.find(part) != std::string::npos;
}

TEST(Probe, KnowsEveryEngineOnce) {
  const auto found = probe();
  ASSERT_EQ(found.size(), 4U);
  std::set<EngineKind> kinds;
  for (const Availability& each : found) {
    EXPECT_TRUE(kinds.insert(each.kind).second);
    EXPECT_FALSE(each.reason.empty());
    EXPECT_TRUE(each.available || each.kind == EngineKind::kernel ||
                each.kind == EngineKind::uring);
  }
}

TEST(Probe, EachReasonSaysWhatToDo) {
  const std::string device = "/dev/flexsc";
  const auto opening = [&](int error) { return explain(Stage::open_device, error, device); };
  EXPECT_TRUE(says(opening(ENOENT), "modprobe flexsc"));
  EXPECT_TRUE(says(opening(ENOENT), "insmod"));
  EXPECT_TRUE(says(opening(ENXIO), "modprobe flexsc"));
  EXPECT_TRUE(says(opening(EACCES), "usermod -aG flexsc"));
  EXPECT_TRUE(says(opening(EPERM), "no permission"));
  EXPECT_TRUE(says(opening(EMFILE), "ulimit -n"));
  EXPECT_TRUE(says(opening(EIO), "Input/output error"));

  const std::string version = explain(Stage::version, 0, device, 42);
  EXPECT_TRUE(says(version, "ABI version 42"));
  EXPECT_TRUE(says(version, "library version " + std::to_string(FLEXSC_ABI_VERSION)));
  EXPECT_TRUE(says(version, "same release"));

  EXPECT_TRUE(says(explain(Stage::query, EACCES, device), "seccomp"));
  EXPECT_TRUE(says(explain(Stage::query, EACCES, device), "strace"));
  EXPECT_TRUE(says(explain(Stage::query, EPERM, device), "another process"));
  EXPECT_TRUE(says(explain(Stage::query, ENOTTY, device), "not the device"));
  EXPECT_TRUE(says(explain(Stage::make_pool, EAGAIN, device), "ulimit -u"));
  EXPECT_TRUE(says(explain(Stage::make_pool, EINVAL, device), "taskset"));
  EXPECT_TRUE(says(explain(Stage::make_client, ENOMEM, device), "ulimit -l"));
  EXPECT_TRUE(says(explain(Stage::make_client, ENOSPC, device), "fewer channels"));
  EXPECT_TRUE(says(explain(Stage::make_client, ESHUTDOWN, device), "open a new engine"));
  EXPECT_TRUE(says(explain(Stage::map_pages, EIO, device), "mapping the system-call pages"));
  EXPECT_TRUE(says(explain(Stage::policy, EIO, device), "dmesg"));
}

TEST(Probe, DifferentReasonsHaveDifferentSentences) {
  std::set<std::string> sentences;
  std::size_t reasons = 0;
  for (const int error : {ENOENT, ENXIO, EACCES, EMFILE, EIO}) {
    sentences.insert(explain(Stage::open_device, error, "D"));
    ++reasons;
  }
  for (const int error : {EACCES, EPERM, ENOTTY, EAGAIN, ENOMEM, EMFILE, ENOSPC, ESHUTDOWN, EIO}) {
    sentences.insert(explain(Stage::make_pool, error, "D"));
    ++reasons;
  }
  EXPECT_EQ(sentences.size(), reasons);
}

TEST(Probe, AnAbsentDevice) {
  const Availability found = detail::probe_kernel("/does/not/exist");
  EXPECT_FALSE(found.available);
  EXPECT_TRUE(says(found.reason, "there is no /does/not/exist"));
}

TEST(Probe, SomethingElseInItsPlace) {
  const Availability found = detail::probe_kernel("/dev/null");
  EXPECT_FALSE(found.available);
  EXPECT_TRUE(says(found.reason, "/dev/null is not the device of the flexsc module"));
}

TEST(Probe, NoPermission) {
  if (geteuid() == 0) GTEST_SKIP() << "root may open everything";
  std::string path = testing::TempDir() + "flexsc-probe-XXXXXX";
  const int fd = mkstemp(path.data());
  ASSERT_GE(fd, 0);
  ASSERT_EQ(fchmod(fd, 0), 0);
  close(fd);
  const Availability found = detail::probe_kernel(path);
  EXPECT_FALSE(found.available);
  EXPECT_TRUE(says(found.reason, "no permission to open " + path));
  unlink(path.c_str());
}

TEST(Probe, OpeningThrowsTheSentence) {
  try {
    const detail::KernelEngine engine({}, "/does/not/exist");
    FAIL() << "it opened";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ENOENT);
    EXPECT_TRUE(says(error.what(), "modprobe flexsc"));
  }
}

}  // namespace
}  // namespace flexsc::test
