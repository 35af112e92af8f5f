// SPDX-License-Identifier: MIT
/// Description: workers run on the CPUs that the options name, those of io_uring too; CPUs that
/// this process cannot use are refused when the engine is made.
#include <sched.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <system_error>
#include <thread>

#include "support.hpp"

namespace flexsc::test {
namespace {

/// The highest CPU on which this thread may run.
int last_cpu() {
  cpu_set_t set;
  EXPECT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  int last = -1;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) last = cpu;
  }
  return last;
}

/// What a line of a thread's status says; empty if the thread is gone.
std::string status_of(const std::filesystem::path& thread, const std::string& field) {
  std::ifstream file(thread / "status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(field + ":\t", 0) == 0) return line.substr(field.size() + 2);
  }
  return {};
}

/// The threads of this process whose names begin like this, and the CPUs of each as a list.
std::map<std::string, std::string> cpus_of(const std::string& name) {
  std::map<std::string, std::string> found;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    if (status_of(thread.path(), "Name").rfind(name, 0) != 0) continue;
    found[thread.path().filename()] = status_of(thread.path(), "Cpus_allowed_list");
  }
  return found;
}

/// No machine of ours has it.
constexpr int kNowhere = 1023;

class WorkerCpusTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(, WorkerCpusTest, worker_engines(), name_of);

TEST_P(WorkerCpusTest, CallsAreMadeThere) {
  options.worker_cpus = {last_cpu()};
  const auto engine = open();
  const auto channel = engine->make_channel();
  const Pipe pipe;
  char byte = 0;
  EXPECT_EQ(call_through(*channel, make_call(SYS_write, pipe.writer(), "x", 1)), 1);
  EXPECT_EQ(call_through(*channel, make_call(SYS_read, pipe.reader(), &byte, 1)), 1);
  EXPECT_EQ(call_through(*channel, make_call(SYS_close, -1)), -EBADF);
}

TEST_P(WorkerCpusTest, OnesThatCannotBeUsedAreLeftOut) {
  options.worker_cpus = {kNowhere, last_cpu()};
  const auto engine = open();
  EXPECT_EQ(call_through(*engine->make_channel(), make_call(SYS_getppid)), getppid());
}

TEST_P(WorkerCpusTest, OnesThatAllCannotBeUsedAreRefusedByTheEngine) {
  const auto refused = [this] {
    try {
      static_cast<void>(open());
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code().value(), EINVAL);
      return std::string(error.what());
    }
    return std::string("not refused");
  };
  options.worker_cpus = {kNowhere};
  EXPECT_NE(refused().find("name CPUs on which this process may run"), std::string::npos)
      << refused();
  options.worker_cpus = {};
  options.more_pools.resize(1);
  options.more_pools[0].worker_cpus = {kNowhere};
  EXPECT_NE(refused().find("name CPUs on which this process may run"), std::string::npos)
      << refused();
}

class RingCpusTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (const std::string why = missing(EngineKind::uring); !why.empty()) GTEST_SKIP() << why;
    options.kind = EngineKind::uring;
    options.submission_thread = GetParam();
    options.worker_cpus = {last_cpu()};
  }
  EngineOptions options;
};
INSTANTIATE_TEST_SUITE_P(Uring, RingCpusTest, testing::Bool(),
                         [](const testing::TestParamInfo<bool>& info) {
                           return std::string(info.param ? "submission_thread" : "usual");
                         });

// In a thread of its own: the kernel keeps what a thread has for its rings, so that one which has
// had others may have threads that are bound otherwise, for a while.
TEST_P(RingCpusTest, ItsThreadsAreBound) {
  const std::string name = GetParam() ? "iou-sqp-" : "iou-wrk-";
  const auto before = cpus_of(name);  // those of rings that end, which the kernel does later
  const auto engine = Engine::open(options);
  const auto channel = engine->make_channel();
  int bound = 0;
  std::thread([&] {
    // An open that may wait has a thread of the kernel's own.
    const long fd =
        call_through(*channel, make_call(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY, 0));
    ASSERT_GE(fd, 0);
    close(static_cast<int>(fd));
    for (const auto& [thread, cpus] : cpus_of(name)) {
      // The ring by which the engine has tried it may have one that has not begun.
      if (before.count(thread) == 0 && cpus == std::to_string(last_cpu())) ++bound;
    }
  }).join();
  EXPECT_GE(bound, 1);
}

}  // namespace
}  // namespace flexsc::test
