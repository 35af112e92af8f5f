// SPDX-License-Identifier: MIT
// Description: `flexsc fibers` shows every fiber of another process, whatever that process does.
#include "fibers.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <stdexcept>
#include <system_error>

namespace flexsc::tools {
namespace {

/// fibers_program, from when it is ready to the end of this.
class Program {
 public:
  explicit Program(bool others_come_and_go) {
    std::array<int, 2> input{};
    std::array<int, 2> output{};
    if (::pipe(input.data()) != 0 || ::pipe(output.data()) != 0) throw std::runtime_error("pipe");
    process_ = ::fork();
    if (process_ == 0) {
      ::dup2(input[0], 0);
      ::dup2(output[1], 1);
      for (const int fd : {input[0], input[1], output[0], output[1]}) ::close(fd);
      ::execl(FLEXSC_FIBERS_PROGRAM, FLEXSC_FIBERS_PROGRAM, others_come_and_go ? "others" : nullptr,
              nullptr);
      ::_exit(127);
    }
    ::close(input[0]);
    ::close(output[1]);
    input_ = input[1];
    char letter = 0;
    while (::read(output[0], &letter, 1) == 1 && letter != '\n') {
    }
    ::close(output[0]);
    if (letter != '\n') throw std::runtime_error("the program has not become ready");
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    ::close(input_);
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  [[nodiscard]] pid_t process() const noexcept { return process_; }

 private:
  pid_t process_ = 0;
  int input_ = -1;
};

std::map<std::string, Json> by_name(const Json& list) {
  std::map<std::string, Json> fibers;
  for (const Json& fiber : list["fibers"]) fibers[fiber["name"].get<std::string>()] = fiber;
  return fibers;
}

bool has_frame(const Json& fiber, const std::string& part) {
  return std::any_of(fiber["backtrace"].begin(), fiber["backtrace"].end(), [&](const Json& frame) {
    return frame.get<std::string>().find(part) != std::string::npos;
  });
}

void expect_every_state(const std::map<std::string, Json>& fibers) {
  ASSERT_EQ(fibers.size(), 6U);
  const auto state = [&](const char* name) { return fibers.at(name)["state"].get<std::string>(); };
  const auto waits = [&](const char* name) {
    return fibers.at(name)["waits_for"].get<std::string>();
  };
  EXPECT_EQ(state("fresh"), "fresh");
  EXPECT_EQ(state("yielder"), "ready");
  EXPECT_EQ(state("busy"), "running");
  for (const char* name : {"reader", "sleeper", "locker"}) {
    EXPECT_EQ(state(name), "waiting") << name;
    EXPECT_GE(fibers.at(name)["waits_s"].get<double>(), 0.0);
    EXPECT_LT(fibers.at(name)["waits_s"].get<double>(), 3600.0);
    EXPECT_GT(fibers.at(name)["thread"].get<int>(), 0);
    EXPECT_TRUE(has_frame(fibers.at(name), "Carrier::fiber_main")) << fibers.at(name).dump();
  }
  EXPECT_EQ(waits("reader").rfind("read(", 0), 0U) << waits("reader");
  EXPECT_TRUE(has_frame(fibers.at("reader"), "flexsc::read(")) << fibers.at("reader").dump();
  EXPECT_EQ(waits("sleeper"), "a time");
  EXPECT_EQ(waits("locker").rfind("mutex 0x", 0), 0U) << waits("locker");
  EXPECT_TRUE(has_frame(fibers.at("locker"), "Mutex"));
  EXPECT_TRUE(fibers.at("fresh")["thread"].is_null());
  EXPECT_TRUE(fibers.at("busy")["waits_for"].is_null());
}

TEST(FibersTest, InEveryState) {
  const Program program(false);
  const Json list = list_fibers(program.process(), true);
  EXPECT_EQ(list["process"], program.process());
  expect_every_state(by_name(list));
  const std::string text = fibers_text(list);
  EXPECT_NE(text.find("'locker' waiting for mutex 0x"), std::string::npos) << text;
  EXPECT_NE(text.find("\n6 fibers\n"), std::string::npos) << text;
}

// Nothing in it can run, so nothing in it can have helped.
TEST(FibersTest, OfAStoppedProcess) {
  const Program program(false);
  ASSERT_EQ(::kill(program.process(), SIGSTOP), 0);
  ASSERT_EQ(::waitpid(program.process(), nullptr, WUNTRACED), program.process());
  expect_every_state(by_name(list_fibers(program.process(), true)));
}

TEST(FibersTest, WhileOthersComeAndGo) {
  const Program program(true);
  for (int i = 0; i < 50; ++i) {
    const std::map<std::string, Json> fibers = by_name(list_fibers(program.process(), i % 2 == 0));
    for (const char* name : {"reader", "sleeper", "locker", "yielder", "spawner"}) {
      ASSERT_EQ(fibers.count(name), 1U) << name << " in round " << i;
    }
    EXPECT_EQ(fibers.at("reader")["state"], "waiting");
    for (const auto& [name, fiber] : fibers) {
      EXPECT_TRUE(name == "comes and goes" || name == "?" || fiber["state"] != "changing" ||
                  name == "spawner" || name == "yielder")
          << fiber.dump();
    }
  }
}

TEST(FibersTest, RefusesWithAReason) {
  try {
    (void)list_fibers(::getpid(), false);
    FAIL() << "this process has no fibers";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("has no fibers"), std::string::npos) << error.what();
  }
  constexpr pid_t kNobody = 0x7ffffff0;
  try {
    (void)list_fibers(kNobody, false);
    FAIL() << "there is no such process";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), ENOENT);
  }
}

}  // namespace
}  // namespace flexsc::tools
