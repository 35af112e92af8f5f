// SPDX-License-Identifier: MIT
// The smallest program of the documentation does what it says.
#include <sys/wait.h>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class Hello : public GuestTest {};

TEST_F(Hello, PrintsHello) {
  std::array<char, 4096> self{};
  ASSERT_GT(::readlink("/proc/self/exe", self.data(), self.size() - 1), 0);
  std::string program = self.data();
  program.replace(program.rfind('/') + 1, std::string::npos, "flexsc-hello");
  if (::access(program.c_str(), X_OK) != 0) GTEST_SKIP() << "no " << program;

  Pipe output = make_pipe();
  EXPECT_EQ(in_child([&] {
              ::dup2(output.writer.get(), STDOUT_FILENO);
              ::execl(program.c_str(), program.c_str(), nullptr);
              REQUIRE(false);
            }),
            "exit 0");
  output.writer.reset();
  std::array<char, 64> text{};
  EXPECT_EQ(::read(output.reader.get(), text.data(), text.size()), 6);
  EXPECT_STREQ(text.data(), "hello\n");
}

}  // namespace
}  // namespace flexsc_guest
