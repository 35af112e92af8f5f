// SPDX-License-Identifier: MIT
/// Description: in a child of fork() an inherited channel ends the program with a message
/// instead of hanging; destroying it and opening another engine work.
#include <sys/wait.h>

#include "support.hpp"

namespace flexsc::test {
namespace {

// A child that makes threads can hang in a sanitizer's locks, held at the fork by others.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr bool kForkable = false;
#else
constexpr bool kForkable = true;
#endif

class ForkTest : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    if (!kForkable) GTEST_SKIP() << "sanitizers do not follow threads into a child";
  }

  /// Runs body in a child; returns how it ended (waitpid status) and its standard error.
  static int in_child(const std::function<void()>& body, std::string& message) {
    Pipe output;
    const pid_t child = fork();
    if (child == 0) {
      dup2(output.writer(), STDERR_FILENO);
      body();
      _exit(0);
    }
    output.close_writer();
    std::array<char, 512> bytes{};
    for (ssize_t count = 0; (count = read(output.reader(), bytes.data(), bytes.size())) > 0;) {
      message.append(bytes.data(), static_cast<std::size_t>(count));
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return status;
  }
};
INSTANTIATE_TEST_SUITE_P(, ForkTest, worker_engines(), name_of);

TEST_P(ForkTest, UseInTheChildAborts) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  EXPECT_EQ(call_through(*channel, nop()), -ENOSYS);
  const std::vector<std::function<void()>> uses = {
      [&] { static_cast<void>(channel->post(nop(), nullptr)); },
      [&] { channel->submit(); },
      [&] { channel->wait(kForever); },
      [&] { static_cast<void>(engine->make_channel()); },
  };
  for (const auto& use : uses) {
    std::string message;
    const int status = in_child(use, message);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    EXPECT_NE(message.find("child of fork()"), std::string::npos) << message;
  }
  EXPECT_EQ(call_through(*channel, nop()), -ENOSYS) << "the parent goes on";
}

TEST_P(ForkTest, DestroyingInTheChildIsAllowed) {
  auto engine = open();
  auto channel = engine->make_channel();
  const Pipe pipe;
  char byte = 0;
  ASSERT_TRUE(channel->post(make_call(SYS_read, pipe.reader(), &byte, 1), nullptr));
  channel->submit();
  std::string message;
  const int status = in_child(
      [&] {
        channel.reset();  // with calls in flight: they are the parent's
        engine.reset();
      },
      message);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << message;
  ASSERT_EQ(write(pipe.writer(), "p", 1), 1);
  EXPECT_EQ(drain(*channel).size(), 1U);
}

TEST_P(ForkTest, AChildCanOpenItsOwn) {
  const auto engine = open();
  const auto channel = engine->make_channel();
  std::string message;
  const int status = in_child(
      [&] {
        const auto own = open();
        const auto mine = own->make_channel();
        if (call_through(*mine, make_call(SYS_getpid)) != getpid()) _exit(1);
      },
      message);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << message;
}

}  // namespace
}  // namespace flexsc::test
