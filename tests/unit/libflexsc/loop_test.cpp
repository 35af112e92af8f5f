// SPDX-License-Identifier: MIT
/// Description: the event loop calls back exactly once for every call, chain and timer, whatever
/// callbacks do meanwhile, also with more calls than entries; and the same from C.
#include "flexsc/loop.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "flexsc/loop.h"
#include "support.hpp"

namespace flexsc::test {
namespace {

using namespace std::chrono_literals;

class LoopTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(, LoopTest, all_engines(), name_of);
class WorkersLoopTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(, WorkersLoopTest, worker_engines(), name_of);

Call read_of(int fd, char& byte) {
  return make_call(SYS_read, fd, &byte, 1);
}

TEST_P(LoopTest, CallsBackOnceForEachCallThoughThereAreFewEntries) {
  options.pages_per_channel = 1;
  const auto engine = open();
  Loop loop(*engine);
  constexpr std::size_t kCalls = 1000;
  std::vector<int> calls(kCalls);
  for (std::size_t i = 0; i < kCalls; ++i) {
    loop.post(i % 2 == 0 ? make_call(SYS_getppid) : nop(), [&calls, i](long result) {
      EXPECT_EQ(result, i % 2 == 0 ? getppid() : -ENOSYS);
      ++calls[i];
    });
  }
  EXPECT_EQ(loop.pending(), kCalls);
  EXPECT_EQ(std::count(calls.begin(), calls.end(), 0), static_cast<long>(kCalls))
      << "a callback inside of post()";
  loop.run();
  EXPECT_EQ(loop.pending(), 0U);
  EXPECT_EQ(std::count(calls.begin(), calls.end(), 1), static_cast<long>(kCalls));
}

TEST_P(LoopTest, CallbacksPostFurtherCalls) {
  const auto engine = open();
  Loop loop(*engine);
  int left = 500;
  std::function<void(long)> next = [&](long result) {
    EXPECT_EQ(result, getppid());
    if (--left > 0) loop.post(make_call(SYS_getppid), next);
  };
  loop.post(make_call(SYS_getppid), next);
  loop.run();
  EXPECT_EQ(left, 0);
}

TEST_P(LoopTest, RunWithoutAnythingReturns) {
  const auto engine = open();
  Loop loop(*engine);
  loop.run();
  EXPECT_EQ(loop.run_once(0ns), 0U);
}

TEST_P(LoopTest, TimersComeInOrderAndCanBeCancelled) {
  const auto engine = open();
  Loop loop(*engine);
  std::vector<int> order;
  const auto now = Loop::Clock::now();
  loop.at(now + 20ms, [&](long result) { order.push_back(result == 0 ? 2 : -2); });
  loop.at(now + 10ms, [&](long result) { order.push_back(result == 0 ? 1 : -1); });
  const auto id = loop.at(now + 1h, [&](long result) {
    EXPECT_EQ(result, -ECANCELED);
    order.push_back(0);
  });
  EXPECT_TRUE(loop.cancel(id));
  EXPECT_FALSE(loop.cancel(id)) << "its callback is next";
  EXPECT_TRUE(order.empty()) << "a callback inside of cancel()";
  loop.run();
  EXPECT_EQ(order, (std::vector{0, 1, 2}));
  EXPECT_GE(Loop::Clock::now() - now, 20ms);
  EXPECT_FALSE(loop.cancel(id)) << "a name is not used again";
  EXPECT_FALSE(loop.cancel(Loop::Id::none));
}

TEST_P(WorkersLoopTest, WaitingCallsAreCancelledAlsoThoseWithoutAnEntry) {
  options.pages_per_channel = 1;
  const auto engine = open();
  Loop loop(*engine);
  const Pipe pipe;
  std::array<char, 100> bytes;
  std::vector<Loop::Id> ids;
  int cancelled = 0;
  int other = 0;
  for (char& byte : bytes) {
    ids.push_back(loop.post(read_of(pipe.reader(), byte),
                            [&](long result) { ++(result == -ECANCELED ? cancelled : other); }));
  }
  EXPECT_TRUE(loop.cancel(ids.back()));   // one that waits for an entry
  EXPECT_TRUE(loop.cancel(ids.front()));  // one that is posted
  while (cancelled + other < 2) loop.run_once(kForever);
  EXPECT_EQ(cancelled, 2);
  EXPECT_EQ(loop.cancel_descriptor(pipe.reader()), 98U);
  loop.run();
  EXPECT_EQ(cancelled, 100);
  EXPECT_EQ(other, 0);
}

TEST_P(WorkersLoopTest, ADeadlineEndsACall) {
  const auto engine = open();
  Loop loop(*engine);
  const Pipe pipe;
  char byte = 0;
  long got = 0;
  loop.post(read_of(pipe.reader(), byte), [&](long result) { got = result; },
            {.pool = 0, .deadline = Loop::Clock::now() + 10ms});
  loop.run();
  EXPECT_EQ(got, -ETIME);
}

TEST_P(WorkersLoopTest, StopAndDispatchComeFromOtherThreads) {
  const auto engine = open();
  Loop loop(*engine);
  const Pipe pipe;
  char byte = 0;
  loop.post(read_of(pipe.reader(), byte), [](long result) { EXPECT_EQ(result, -ECANCELED); });
  int ran = 0;
  const auto home = std::this_thread::get_id();
  std::thread other([&] {
    for (int i = 0; i < 1000; ++i) {
      loop.dispatch([&] {
        EXPECT_EQ(std::this_thread::get_id(), home);
        ++ran;
      });
    }
    loop.dispatch([&] { loop.stop(); });
  });
  loop.run();
  other.join();
  EXPECT_EQ(ran, 1000);
  EXPECT_EQ(loop.pending(), 1U);
  loop.stop();
  loop.run();  // that stop() was for this one
  EXPECT_EQ(loop.cancel_descriptor(pipe.reader()), 1U);
  loop.run();
  EXPECT_EQ(loop.pending(), 0U);
}

TEST_P(LoopTest, AnExceptionLosesNothing) {
  const auto engine = open();
  Loop loop(*engine);
  int called = 0;
  for (int i = 0; i < 100; ++i) {
    loop.post(nop(), [&called, i](long) {
      ++called;
      if (i % 10 == 3) throw std::runtime_error("thrown by a callback");
    });
  }
  loop.dispatch([] { throw std::runtime_error("thrown by work"); });
  int ran = 0;
  loop.dispatch([&] { ++ran; });
  int caught = 0;
  while (loop.pending() != 0 || ran == 0) {
    try {
      loop.run();
    } catch (const std::runtime_error&) {
      ++caught;
    }
  }
  EXPECT_EQ(called, 100);
  EXPECT_EQ(caught, 11);
  EXPECT_EQ(ran, 1);
}

TEST_P(LoopTest, WrongUseIsRefused) {
  const auto engine = open();
  Loop loop(*engine);
  EXPECT_THROW(loop.post(nop(), nullptr, {.pool = 7, .deadline = Loop::Clock::time_point::max()}),
               std::system_error);
  EXPECT_THROW(loop.post_chain(Chain(), {}, nullptr), std::system_error);
  EXPECT_EQ(loop.pending(), 0U);
  bool tried = false;
  loop.post(nop(), [&](long) {
    EXPECT_THROW(loop.run(), std::system_error);
    EXPECT_THROW(loop.run_once(0ns), std::system_error);
    tried = true;
  });
  loop.post(nop(), nullptr);  // nobody wants to know
  loop.run();
  EXPECT_TRUE(tried);
}

TEST_P(LoopTest, ChainsCallBackOnceAndQueueLikeCalls) {
  options.pages_per_channel = 1;
  const auto engine = open();
  Loop loop(*engine);
  const Pipe pipe(O_NONBLOCK);
  constexpr int kChains = 40;
  std::array<std::array<long, 3>, kChains> results{};
  std::array<char, kChains> bytes{};
  int ended = 0;
  for (std::size_t i = 0; i < kChains; ++i) {
    Chain chain;
    chain.add(SYS_write, pipe.writer(), "x", 1);
    chain.add(SYS_read, pipe.reader(), &bytes[i], 1);
    chain.add(SYS_getppid);
    loop.post_chain(chain, results[i], [&](long result) {
      EXPECT_EQ(result, getppid());
      ++ended;
    });
  }
  loop.run();
  EXPECT_EQ(ended, kChains);
  for (std::size_t i = 0; i < kChains; ++i) {
    EXPECT_EQ(results[i], (std::array<long, 3>{1, 1, getppid()}));
    EXPECT_EQ(bytes[i], 'x');
  }
}

TEST(LoopDeathTest, ALoopWithCallsInFlightIsNotDestroyed) {
  EngineOptions options;
  options.kind = EngineKind::threads;
  EXPECT_DEATH(
      {
        const auto engine = Engine::open(options);
        const Pipe pipe;
        char byte = 0;
        Loop loop(*engine);
        loop.post(read_of(pipe.reader(), byte), nullptr);
      },
      "calls in flight");
}

// ---- From C.

struct Seen {
  int calls = 0;
  long result = 0;
};
void note(flexsc_loop* loop, void* token, long result) {
  EXPECT_NE(loop, nullptr);
  auto& seen = *static_cast<Seen*>(token);
  ++seen.calls;
  seen.result = result;
}

class CLoopTest : public EngineTest {
 protected:
  void SetUp() override {
    EngineTest::SetUp();
    if (IsSkipped()) return;
    const std::string kind(to_string(GetParam()));
    flexsc_engine_options some{};
    some.kind = kind.c_str();
    some.pages = 1;
    engine_ = flexsc_engine_open(&some);
    ASSERT_NE(engine_, nullptr) << flexsc_error();
    EXPECT_EQ(flexsc_engine_kind(engine_), kind);
    loop_ = flexsc_loop_open(engine_);
    ASSERT_NE(loop_, nullptr) << flexsc_error();
  }
  void TearDown() override {
    if (engine_ == nullptr) return;
    EXPECT_EQ(flexsc_engine_close(engine_), -EBUSY);
    EXPECT_EQ(flexsc_loop_close(loop_), 0);
    EXPECT_EQ(flexsc_engine_close(engine_), 0);
  }

  flexsc_engine* engine_ = nullptr;
  flexsc_loop* loop_ = nullptr;
};
INSTANTIATE_TEST_SUITE_P(, CLoopTest, all_engines(), name_of);

TEST_P(CLoopTest, ResultsComeByCallbackOrByToken) {
  const Pipe pipe;
  std::array<char, 6> buffer{};
  Seen seen;
  int token = 0;
  EXPECT_NE(flexsc_write(loop_, pipe.writer(), "hello", 5, note, &seen), 0U);
  EXPECT_EQ(flexsc_pending(loop_), 1U);
  EXPECT_EQ(flexsc_loop_close(loop_), -EBUSY);
  EXPECT_EQ(flexsc_run(loop_), 0);
  EXPECT_EQ(seen.calls, 1);
  EXPECT_EQ(seen.result, 5);
  EXPECT_NE(flexsc_read(loop_, pipe.reader(), buffer.data(), 5, nullptr, &token), 0U);
  flexsc_completion completion{};
  EXPECT_EQ(flexsc_reap(loop_, &completion, 1), 0U);
  while (flexsc_pending(loop_) != 0) EXPECT_GE(flexsc_run_once(loop_, -1), 0);
  ASSERT_EQ(flexsc_reap(loop_, &completion, 1), 1U);
  EXPECT_EQ(completion.token, &token);
  EXPECT_EQ(completion.result, 5);
  EXPECT_STREQ(buffer.data(), "hello");
  EXPECT_EQ(flexsc_reap(loop_, &completion, 1), 0U);
}

TEST_P(CLoopTest, TimersChainsStopAndDispatch) {
  Seen timer;
  Seen chain;
  Seen work;
  const Pipe pipe;
  std::array<char, 2> buffer{};
  const std::array<flexsc_chain_call, 2> calls{{
      {{SYS_write, {pipe.writer(), reinterpret_cast<long>("ab"), 2, 0, 0, 0}}, 0, 0},
      {{SYS_read, {pipe.reader(), reinterpret_cast<long>(buffer.data()), 0, 0, 0, 0}}, 0, 1U << 2},
  }};
  std::array<long, 2> results{};
  EXPECT_NE(flexsc_after(loop_, 1'000'000, note, &timer), 0U);
  EXPECT_NE(flexsc_post_chain(loop_, calls.data(), 2, results.data(), nullptr, note, &chain), 0U);
  EXPECT_EQ(flexsc_dispatch(loop_, note, &work), 0);
  EXPECT_EQ(flexsc_run(loop_), 0);
  EXPECT_EQ(timer.calls, 1);
  EXPECT_EQ(chain.result, 2);
  EXPECT_EQ(results, (std::array<long, 2>{2, 2}));
  EXPECT_EQ(work.calls, 1);
  const flexsc_id id = flexsc_after(loop_, INT64_MAX, note, &timer);
  EXPECT_EQ(flexsc_stop(loop_), 0);
  EXPECT_EQ(flexsc_run(loop_), 0);
  EXPECT_EQ(flexsc_cancel(loop_, id), 0);
  EXPECT_EQ(flexsc_run(loop_), 0);
  EXPECT_EQ(timer.calls, 2);
  EXPECT_EQ(timer.result, -ECANCELED);
  EXPECT_EQ(flexsc_cancel(loop_, id), -ENOENT);
}

TEST_P(CLoopTest, WrongUseHasAnErrnoAndASentence) {
  const flexsc_call call{SYS_getppid, {}};
  const flexsc_post_options pool{.pool = 7, .timeout_ns = 0};
  errno = 0;
  EXPECT_EQ(flexsc_post(loop_, &call, &pool, nullptr, nullptr), 0U);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_STRNE(flexsc_error(), "");
  const flexsc_post_options past{.pool = 0, .timeout_ns = -1};
  EXPECT_EQ(flexsc_post(loop_, &call, &past, nullptr, nullptr), 0U);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(flexsc_post_chain(loop_, nullptr, 0, nullptr, nullptr, nullptr, nullptr), 0U);
  EXPECT_EQ(errno, EINVAL);
  const flexsc_chain_call forward{{SYS_getppid, {0, 0, 0, 0, 0, 0}}, 0, 1};
  long result = 0;
  EXPECT_EQ(flexsc_post_chain(loop_, &forward, 1, &result, nullptr, nullptr, nullptr), 0U);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(flexsc_cancel(loop_, 0), -ENOENT);
  const auto run_again = [](flexsc_loop* loop, void* token, long) {
    *static_cast<long*>(token) = flexsc_run(loop) + flexsc_run_once(loop, 0);
    EXPECT_EQ(flexsc_loop_close(loop), -EBUSY);
  };
  EXPECT_NE(flexsc_post(loop_, &call, nullptr, run_again, &result), 0U);
  EXPECT_EQ(flexsc_run(loop_), 0);
  EXPECT_EQ(result, -2 * EDEADLK);
  errno = 0;
  flexsc_engine_options unknown{};
  unknown.kind = "steam";
  EXPECT_EQ(flexsc_engine_open(&unknown), nullptr);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_STREQ(flexsc_error(),
               "there is no engine \"steam\", only kernel, uring, threads, direct, "
               "auto: Invalid argument");
  EXPECT_EQ(flexsc_engine_close(nullptr), 0);
  EXPECT_EQ(flexsc_loop_close(nullptr), 0);
}

TEST(LoopC, TheEngineIsClosedWhenAnotherThreadHasClosedTheLoop) {
  flexsc_engine_options direct{};
  direct.kind = "direct";
  flexsc_engine* const engine = flexsc_engine_open(&direct);
  ASSERT_NE(engine, nullptr) << flexsc_error();
  flexsc_loop* const loop = flexsc_loop_open(engine);
  ASSERT_NE(loop, nullptr) << flexsc_error();
  std::thread other([loop] { EXPECT_EQ(flexsc_loop_close(loop), 0); });
  while (flexsc_engine_close(engine) == -EBUSY) std::this_thread::yield();
  other.join();
}

TEST(LoopC, WithoutAKindTheEngineIsTheBestThatIsThere) {
  flexsc_engine* const engine = flexsc_engine_open(nullptr);
  ASSERT_NE(engine, nullptr) << flexsc_error();
  EXPECT_EQ(flexsc_engine_kind(engine), to_string(choose_engine().kind));
  EXPECT_EQ(flexsc_engine_close(engine), 0);
}

}  // namespace
}  // namespace flexsc::test
