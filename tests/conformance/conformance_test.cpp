// SPDX-License-Identifier: MIT
/// Description: a call through an engine does what it does directly, in good and in bad cases: its
/// result or errno, the bytes that it writes, and what is there afterwards are the same.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "cases.hpp"
#include "flexsc/engine.hpp"

namespace flexsc::conformance {
namespace {

/// What became of a case.
struct Outcome {
  long result = 0;
  std::vector<std::uint8_t> memory;
  std::string state;
};

/// By turns in a folder of its own.
class Folder {
 public:
  Folder() {
    // In memory where that can be: there are many worlds.
    const bool memory = access("/dev/shm", W_OK) == 0;
    std::string name = memory ? "/dev/shm" : std::filesystem::temp_directory_path().string();
    name += "/flexsc-conformance-XXXXXX";
    if (mkdtemp(name.data()) == nullptr || chdir(name.c_str()) != 0) std::abort();
    umask(022);
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code error;
    std::filesystem::current_path("/", error);
    std::filesystem::remove_all(path_, error);
  }

 private:
  std::filesystem::path path_;
};

int lowest_free_descriptor() {
  const int fd = open("/", O_PATH | O_CLOEXEC);
  close(fd);
  return fd;
}

/// The case that is being made, for one that never ends.
std::string current;
/// Of the cases, about one in so many is made, always the same ones.
std::uint32_t every = 1;

/// By its name, as a regular choice would be one of the same variants.
bool is_chosen(const Case& one) {
  std::uint32_t sum = 2166136261U;
  for (const char letter : one.name) {
    sum = (sum ^ static_cast<std::uint8_t>(letter)) * 16777619U;  // FNV-1a
  }
  return (sum >> 8) % every == 0;
}

constexpr unsigned kPatienceSeconds = 60;

/// Says which case it was. Of what it calls, only these are allowed in a handler.
void give_up(int /*signal*/) {
  static_cast<void>(!write(STDERR_FILENO, current.data(), current.size()));
  constexpr char kText[] = " does not end\n";
  static_cast<void>(!write(STDERR_FILENO, &kText[0], sizeof kText - 1));
  _exit(1);
}

template <class Do>
Outcome outcome_of(const Case& one, Memory& memory, int first, Do carry_out) {
  World world(memory, first);
  const Call call = make(one, world);
  world.begin();
  Outcome outcome;
  outcome.result = carry_out(call);
  world.finish();
  const Mask& mask = one.table->mask;
  if (mask.bytes) mask.bytes(memory.out());
  if (mask.result) outcome.result = 0;
  outcome.memory.assign(memory.out(), memory.out() + Memory::kWritable);
  outcome.state = world.state();
  return outcome;
}

/// Where two memories differ first.
std::string difference(const std::vector<std::uint8_t>& direct,
                       const std::vector<std::uint8_t>& engine) {
  for (std::size_t i = 0; i < direct.size(); ++i) {
    if (direct[i] != engine[i]) {
      return "byte " + std::to_string(i) + ": " + std::to_string(direct[i]) + " directly, " +
             std::to_string(engine[i]) + " by the engine";
    }
  }
  return "";
}

/// The calls of which there are tables, without repetition.
std::vector<std::string> calls() {
  std::vector<std::string> names;
  for (const Table& table : tables()) {
    const std::string name = call_of(table);
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

using Parameter = std::tuple<EngineKind, std::string>;

struct Way {
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Channel> channel;  // ends before its engine
};

class Conformance : public testing::TestWithParam<Parameter> {
 protected:
  void SetUp() override {
    for (const Availability& each : probe()) {
      if (each.kind == std::get<0>(GetParam()) && !each.available) GTEST_SKIP() << each.reason;
    }
    // One for all tests: when a channel of uring ends, a later call of its thread can be
    // interrupted.
    static std::map<EngineKind, Way> ways;
    Way& way = ways[std::get<0>(GetParam())];
    if (!way.engine) {
      EngineOptions options;
      options.kind = std::get<0>(GetParam());
      way.engine = Engine::open(options);
      way.channel = way.engine->make_channel();
    }
    channel_ = way.channel.get();
    // It opens what it needs with its first call.
    static_cast<void>(through_engine(make_call(SYS_getppid)));
  }

  long through_engine(const Call& call) {
    EXPECT_TRUE(channel_->post(call, nullptr));
    Completion one;
    while (channel_->reap({&one, 1}) == 0) channel_->wait(std::chrono::nanoseconds(-1));
    return one.result;
  }

  Channel* channel_ = nullptr;
};

TEST_P(Conformance, IsAsDirect) {
  const Folder folder;
  Memory memory;
  const int first = lowest_free_descriptor();
  for (const Table& table : tables()) {
    if (call_of(table) != std::get<1>(GetParam())) continue;
    for (const Case& one : cases_of(table)) {
      if (!is_chosen(one)) continue;
      current = one.name;
      alarm(kPatienceSeconds);
      const Outcome direct =
          outcome_of(one, memory, first, [](const Call& c) { return execute(c); });
      const Outcome engine =
          outcome_of(one, memory, first, [this](const Call& c) { return through_engine(c); });
      EXPECT_EQ(engine.result, direct.result) << one.name;
      EXPECT_EQ(difference(direct.memory, engine.memory), "") << one.name;
      EXPECT_EQ(engine.state, direct.state) << one.name;
    }
  }
}
INSTANTIATE_TEST_SUITE_P(, Conformance,
                         testing::Combine(testing::Values(EngineKind::kernel, EngineKind::uring,
                                                          EngineKind::threads, EngineKind::direct),
                                          testing::ValuesIn(calls())),
                         [](const testing::TestParamInfo<Parameter>& info) {
                           return std::string(to_string(std::get<0>(info.param))) + '_' +
                                  std::get<1>(info.param);
                         });

TEST(ConformanceCases, AreThousandsEachWithItsName) {
  std::set<std::string> names;
  std::size_t count = 0;
  for (const Table& table : tables()) {
    for (const Case& one : cases_of(table)) {
      EXPECT_TRUE(names.insert(one.name).second) << one.name;
      ++count;
    }
    EXPECT_TRUE(table.mask.reason.empty() == !(table.mask.bytes || table.mask.result))
        << table.call << " masks without a reason";
  }
  RecordProperty("cases", static_cast<int>(count));
  EXPECT_GE(count, 1000U);
}

}  // namespace
}  // namespace flexsc::conformance

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  if (argc > 1 && (argc != 3 || std::string(argv[1]) != "--every" || std::atoi(argv[2]) < 1)) {
    std::fprintf(stderr, "usage: conformance-tests [--every N] [--gtest_filter=*/ENGINE_*]\n");
    return 2;
  }
  if (argc > 1) flexsc::conformance::every = static_cast<std::uint32_t>(std::atoi(argv[2]));
  // What was inherited would be taken for a world's.
  close_range(STDERR_FILENO + 1, ~0U, 0);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGALRM, &flexsc::conformance::give_up);
  return RUN_ALL_TESTS();
}
