// SPDX-License-Identifier: MIT
/// Description: deadlines and cancel() end the call on which a fiber is parked, with ETIMEDOUT and
/// ECANCELED; what is made at once still works; chains and pools from fibers.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <string>

#include "flexsc/call_scope.hpp"
#include "flexsc/posix.hpp"
#include "support.hpp"

namespace flexsc::test {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

struct Pipe {
  Pipe() { EXPECT_EQ(::pipe(ends.data()), 0); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  [[nodiscard]] int reader() const { return ends[0]; }
  [[nodiscard]] int writer() const { return ends[1]; }
  std::array<int, 2> ends{};
};

/// The errno of a read of one byte, or 0.
int read_error(int fd) {
  char byte = 0;
  return flexsc::read(fd, &byte, 1) < 0 ? errno : 0;
}

class EndedCallTest : public OnEngine {};
INSTANTIATE_TEST_SUITE_P(, EndedCallTest,
                         ::testing::Values(EngineKind::threads, EngineKind::uring,
                                           EngineKind::kernel),
                         [](const auto& row) { return std::string(to_string(row.param)); });

TEST_P(EndedCallTest, ADeadlineEndsARead) {
  Runtime runtime(options());
  in_fiber(runtime, [] {
    const Pipe pipe;
    {
      const DeadlineScope scope(milliseconds(3));
      EXPECT_EQ(read_error(pipe.reader()), ETIMEDOUT);
      EXPECT_TRUE(scope.passed());
      EXPECT_EQ(flexsc::write(pipe.writer(), "x", 1), -1) << "nothing more is begun";
      EXPECT_EQ(errno, ETIMEDOUT);
      EXPECT_EQ(flexsc::close(::dup(pipe.writer())), 0) << "but what is to be cleaned up";
    }
    EXPECT_EQ(flexsc::write(pipe.writer(), "x", 1), 1);
    EXPECT_EQ(read_error(pipe.reader()), 0);
  });
}

TEST_P(EndedCallTest, ADeadlineThatIsFarAwayChangesNothing) {
  Runtime runtime(options());
  in_fiber(runtime, [] {
    const Pipe pipe;
    for (int i = 0; i < 200; ++i) {
      const DeadlineScope scope(hours(1));
      EXPECT_EQ(flexsc::write(pipe.writer(), "x", 1), 1);
      EXPECT_EQ(read_error(pipe.reader()), 0);
      EXPECT_FALSE(scope.passed());
    }
  });
}

TEST_P(EndedCallTest, OfNestedDeadlinesTheEarliestCounts) {
  Runtime runtime(options());
  in_fiber(runtime, [] {
    const Pipe pipe;
    const DeadlineScope outer(milliseconds(3));
    {
      const DeadlineScope inner(hours(1));
      EXPECT_EQ(read_error(pipe.reader()), ETIMEDOUT);
      EXPECT_FALSE(inner.passed());
    }
    EXPECT_TRUE(outer.passed());
    EXPECT_EQ(read_error(pipe.reader()), ETIMEDOUT);
  });
  in_fiber(runtime, [] {
    const Pipe pipe;
    const DeadlineScope outer(hours(1));
    {
      const DeadlineScope inner(milliseconds(3));
      EXPECT_EQ(read_error(pipe.reader()), ETIMEDOUT);
    }
    EXPECT_EQ(flexsc::write(pipe.writer(), "x", 1), 1);
    EXPECT_EQ(read_error(pipe.reader()), 0);
  });
}

TEST_P(EndedCallTest, ManyDeadlinesPass) {
  constexpr int kFibers = 200;
  Runtime runtime(options(2));
  std::atomic<int> timed_out{0};
  std::vector<Fiber> fibers;
  fibers.reserve(kFibers);
  for (int i = 0; i < kFibers; ++i) {
    fibers.push_back(runtime.spawn([&, i] {
      const Pipe pipe;
      const DeadlineScope scope(milliseconds(i % 7));
      if (read_error(pipe.reader()) == ETIMEDOUT) ++timed_out;
    }));
  }
  for (Fiber& each : fibers) each.join();
  EXPECT_EQ(timed_out.load(), kFibers);
}

// The time is over when the call is complete and its fiber is ready, but has not had its turn.
TEST_P(EndedCallTest, ADeadlineDoesNotEndWhatIsComplete) {
  Runtime runtime(options());
  const Pipe pipe;
  bool done = false;  // all on one carrier
  bool written = false;
  int turns = 0;
  const auto deadline = std::chrono::steady_clock::now() + milliseconds(100);
  std::vector<Fiber> fibers;
  fibers.push_back(runtime.spawn([&] {
    const DeadlineScope scope(deadline);
    const int error = read_error(pipe.reader());
    // Late only where the machine is.
    EXPECT_TRUE(error == 0 || error == ETIMEDOUT) << error;
    done = true;
  }));
  // More than three rounds of them, so that the reader waits for its turn over the end of some.
  for (int i = 0; i < 200; ++i) {
    fibers.push_back(runtime.spawn([&, i] {
      if (i == 199) {
        EXPECT_EQ(::write(pipe.writer(), "x", 1), 1);
        ::usleep(5000);  // of the whole carrier: now the read is complete
        written = true;
      }
      while (!done) {
        this_fiber::yield();
        // After the end of a round, at which the read was found complete, and before its turn.
        if (written && ++turns == 100) {
          while (std::chrono::steady_clock::now() <= deadline) {
          }
        }
      }
    }));
  }
  for (Fiber& each : fibers) each.join();
}

TEST_P(EndedCallTest, CancelEndsARead) {
  Runtime runtime(options());
  const Pipe pipe;
  std::atomic<bool> reads{false};
  Fiber fiber = runtime.spawn([&] {
    reads = true;
    EXPECT_EQ(read_error(pipe.reader()), ECANCELED);
    EXPECT_EQ(read_error(pipe.reader()), ECANCELED) << "and every further one";
    EXPECT_EQ(flexsc::close(::dup(pipe.reader())), 0);
    const CancelShield shield;
    EXPECT_EQ(flexsc::write(pipe.writer(), "x", 1), 1);
    EXPECT_EQ(read_error(pipe.reader()), 0) << "clean-up can wait";
  });
  while (!reads) std::this_thread::yield();
  fiber.cancel();
  fiber.join();
}

TEST_P(EndedCallTest, CancelByAnotherFiberOfTheCarrier) {
  Runtime runtime(options());
  const Pipe pipe;
  Fiber reader = runtime.spawn([&] { EXPECT_EQ(read_error(pipe.reader()), ECANCELED); });
  in_fiber(runtime, [&] {
    this_fiber::yield();
    reader.cancel();
  });
  reader.join();
}

TEST_P(EndedCallTest, AShieldedReadIsNotCancelled) {
  Runtime runtime(options());
  const Pipe pipe;
  std::atomic<bool> reads{false};
  Fiber fiber = runtime.spawn([&] {
    const CancelShield shield;
    reads = true;
    EXPECT_EQ(read_error(pipe.reader()), 0);
  });
  while (!reads) std::this_thread::yield();
  fiber.cancel();
  EXPECT_EQ(::write(pipe.writer(), "x", 1), 1);
  fiber.join();
}

// More calls than the table has entries: those in the queue behind it are ended too.
TEST_P(EndedCallTest, CallsThatFoundNoEntryAreEnded) {
  RuntimeOptions small = options();
  small.engine.pages_per_channel = 1;
  Runtime runtime(small);
  const Pipe pipe;
  std::vector<Fiber> fibers;
  std::atomic<int> started{0};
  for (int i = 0; i < 80; ++i) {
    fibers.push_back(runtime.spawn([&] {
      ++started;
      EXPECT_EQ(read_error(pipe.reader()), ECANCELED);
    }));
  }
  while (started < 80) std::this_thread::yield();
  // The last ones first: they are in the queue.
  for (std::size_t i = fibers.size(); i-- > 0;) {
    fibers[i].cancel();
    fibers[i].join();
  }
}

TEST_P(EndedCallTest, AChainFromAFiber) {
  Runtime runtime(options());
  in_fiber(runtime, [] {
    const int in = memfd_create("in", 0);
    const int out = memfd_create("out", 0);
    const std::string text(5000, 'x');
    ASSERT_EQ(::pwrite(in, text.data(), text.size(), 0), 5000);
    std::array<char, 512> buffer{};
    Chain copy;
    const auto got = copy.add(SYS_read, in, buffer.data(), buffer.size()).end_on_zero();
    copy.add(SYS_write, out, buffer.data(), got.result()).end_on_short().sum();
    copy.repeat();
    std::array<long, 2> results{};
    EXPECT_EQ(run_chain(copy, results), 5000);
    EXPECT_EQ(results, (std::array<long, 2>{0, 5000}));
    EXPECT_THROW(run_chain(copy, std::span(results).first(1)), std::system_error);
    ::close(in);
    ::close(out);

    const Pipe pipe;
    Chain waits;
    waits.add(SYS_read, pipe.reader(), buffer.data(), 1);
    waits.add(SYS_getppid);
    const DeadlineScope scope(milliseconds(3));
    EXPECT_EQ(run_chain(waits, results), -ETIMEDOUT);
    EXPECT_EQ(results, (std::array<long, 2>{-ECANCELED, -ECANCELED}));
    EXPECT_EQ(run_chain(waits, results), -ETIMEDOUT) << "and is not begun again";
  });
}

TEST_P(EndedCallTest, AFiberChoosesItsPool) {
  RuntimeOptions several = options();
  several.engine.more_pools.resize(1);
  Runtime runtime(several);
  in_fiber(runtime, [] {
    const Pipe pipe;
    {
      const PoolScope second(1);
      EXPECT_EQ(flexsc::write(pipe.writer(), "x", 1), 1);
      EXPECT_EQ(read_error(pipe.reader()), 0);
    }
    EXPECT_THROW(const PoolScope none(2), std::system_error);
    EXPECT_EQ(flexsc::write(pipe.writer(), "x", 1), 1);
  });
}

// Engine direct has nobody who could end a call; what comes after the time is not begun.
TEST(CallScopes, OnEngineDirectADeadlineStopsFurtherCallsOnly) {
  Runtime runtime(test::options_for(EngineKind::direct, 1));
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  test::in_fiber(runtime, [&] {
    char byte = 0;
    {
      const DeadlineScope limit(std::chrono::milliseconds(1));
      EXPECT_EQ(flexsc::write(pipe[1], "x", 1), 1);
      this_fiber::sleep_for(std::chrono::milliseconds(5));
      EXPECT_TRUE(limit.passed());
      EXPECT_EQ(flexsc::read(pipe[0], &byte, 1), -1);
      EXPECT_EQ(errno, ETIMEDOUT);
    }
    EXPECT_EQ(flexsc::read(pipe[0], &byte, 1), 1);
  });
  EXPECT_EQ(::close(pipe[0]), 0);
  EXPECT_EQ(::close(pipe[1]), 0);
}

TEST(CallScopes, DoNothingInAPlainThread) {
  const Pipe pipe;
  const DeadlineScope scope(milliseconds(-1));
  const PoolScope pool(7);
  EXPECT_FALSE(scope.passed());
  EXPECT_EQ(flexsc::write(pipe.writer(), "x", 1), 1);
  EXPECT_EQ(read_error(pipe.reader()), 0);
}

/// Carriers that execute their fibers' calls themselves.
class HelpingCarrierTest : public OnEngine {
 protected:
  static RuntimeOptions helping(std::size_t carriers = 1) {
    RuntimeOptions all = options(carriers);
    all.engine.help = Help::always;
    return all;
  }
};
INSTANTIATE_TEST_SUITE_P(, HelpingCarrierTest, ::testing::Values(EngineKind::kernel),
                         [](const auto& row) { return std::string(to_string(row.param)); });

TEST_P(HelpingCarrierTest, RingNoDoorbells) {
  Runtime runtime(helping());
  const Pipe there;
  const Pipe back;
  Fiber echo = runtime.spawn([&] {
    char byte = 0;
    while (flexsc::read(there.reader(), &byte, 1) == 1 && byte != 'q') {
      EXPECT_EQ(flexsc::write(back.writer(), &byte, 1), 1);
    }
  });
  in_fiber(runtime, [&] {
    char byte = 0;
    for (int i = 0; i < 500; ++i) {
      EXPECT_EQ(flexsc::write(there.writer(), "x", 1), 1);
      EXPECT_EQ(flexsc::read(back.reader(), &byte, 1), 1);
    }
    EXPECT_EQ(flexsc::write(there.writer(), "q", 1), 1);
  });
  echo.join();
  EXPECT_EQ(runtime.stats().channels.doorbells, 0U);
}

TEST_P(HelpingCarrierTest, DoNotForgetCallsForFibersThatYield) {
  Runtime runtime(helping());
  const Pipe pipe;
  std::atomic<bool> done{false};
  Fiber busy = runtime.spawn([&] {
    while (!done) this_fiber::yield();
  });
  Fiber reader = runtime.spawn([&] {
    EXPECT_EQ(read_error(pipe.reader()), 0);
    done = true;
  });
  // Sometimes before the read waits, mostly after.
  this_fiber::sleep_for(milliseconds(2));
  EXPECT_EQ(::write(pipe.writer(), "x", 1), 1);
  reader.join();
  busy.join();
}

TEST_P(HelpingCarrierTest, LoneFibersLeaveOthersTheirTurn) {
  Runtime runtime(helping());
  const Pipe pipe;
  std::atomic<bool> done{false};
  Fiber reader = runtime.spawn([&] {
    EXPECT_EQ(read_error(pipe.reader()), 0);
    done = true;
  });
  Fiber busy = runtime.spawn([&] {
    while (!done) (void)flexsc::lseek(-1, 0, SEEK_SET);  // made at once, every time
  });
  this_fiber::sleep_for(milliseconds(2));
  EXPECT_EQ(::write(pipe.writer(), "x", 1), 1);
  reader.join();
  busy.join();
}

}  // namespace
}  // namespace flexsc::test
