// SPDX-License-Identifier: MIT
/// Description: a call as data says what a C caller would say, and execute() does it.
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "support.hpp"

namespace flexsc::test {
namespace {

TEST(Call, ArgumentsAreWidenedAsInC) {
  const char* text = "x";
  const Call call = make_call(SYS_write, -1, text, std::size_t{7}, nullptr, std::uint8_t{200});
  EXPECT_EQ(call.nr, static_cast<std::uint32_t>(SYS_write));
  EXPECT_EQ(call.args[0], ~std::uint64_t{0});
  EXPECT_EQ(call.args[1], reinterpret_cast<std::uint64_t>(text));
  EXPECT_EQ(call.args[2], 7U);
  EXPECT_EQ(call.args[3], 0U);
  EXPECT_EQ(call.args[4], 200U);
  EXPECT_EQ(call.args[5], 0U);
}

TEST(Call, ExecuteReturnsTheKernelsResultAndLeavesErrnoAlone) {
  errno = 77;
  EXPECT_EQ(execute(make_call(SYS_getpid)), getpid());
  EXPECT_EQ(execute(make_call(SYS_close, -1)), -EBADF);
  EXPECT_EQ(execute(nop()), -ENOSYS);
  EXPECT_EQ(errno, 77);
}

TEST(Call, AllSixArgumentsArrive) {
  // They were lost where loading an argument is a function call (no optimisation,
  // ThreadSanitizer): mmap takes its descriptor and offset in the fifth and sixth.
  const long fd = execute(make_call(SYS_memfd_create, "six", 0));
  ASSERT_EQ(execute(make_call(SYS_pwrite64, fd, "mark", 4, 8192)), 4);
  const long address = execute(make_call(SYS_mmap, nullptr, 4096, PROT_READ, MAP_SHARED, fd, 8192));
  ASSERT_GT(address, 0);
  EXPECT_STREQ(static_cast<const char*>(token(static_cast<std::uintptr_t>(address))), "mark");
  EXPECT_EQ(execute(make_call(SYS_munmap, address, 4096)), 0);
  EXPECT_EQ(execute(make_call(SYS_close, fd)), 0);
}

TEST(Engine, NamesAndKindsAgree) {
  for (const EngineKind kind : {EngineKind::kernel, EngineKind::uring, EngineKind::threads,
                                EngineKind::direct, EngineKind::automatic}) {
    EXPECT_EQ(engine_kind(to_string(kind)), kind);
    EXPECT_EQ(engine_named(to_string(kind)), kind);
  }
  EXPECT_EQ(engine_kind("unring"), std::nullopt);
  EXPECT_EQ(engine_kind(""), std::nullopt);
}

TEST(Engine, SerialsAreNeverUsedTwice) {
  const auto first = Engine::open({})->serial();
  EXPECT_GT(Engine::open({})->serial(), first);
}

TEST(Engine, ImpossibleOptionsAreRefused) {
  const auto refused = [](auto change) {
    EngineOptions options;
    change(options);
    EXPECT_THROW(static_cast<void>(Engine::open(options)), std::system_error);
  };
  refused([](EngineOptions& options) { options.pages_per_channel = 0; });
  refused([](EngineOptions& options) { options.pages_per_channel = 257; });
  refused([](EngineOptions& options) { options.spin = std::chrono::microseconds(-1); });
  refused([](EngineOptions& options) { options.worker_cpus = {-1}; });
  refused([](EngineOptions& options) {
    options.kind = EngineKind::threads;
    options.worker_cpus = {1023};  // no machine of ours has it
  });
}

}  // namespace
}  // namespace flexsc::test
