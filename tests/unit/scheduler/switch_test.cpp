// SPDX-License-Identifier: MIT
// Description: errno and the state of C++ exceptions belong to the fiber, not to its
// carrier: they survive switches, whatever other fibers do in between.
#include <fcntl.h>

#include <cerrno>
#include <exception>
#include <stdexcept>
#include <string>

#include "flexsc/posix.hpp"
#include "support.hpp"

namespace flexsc {
namespace {

class SwitchTest : public test::OnEngine {};
FLEXSC_ON_EVERY_ENGINE(SwitchTest);

TEST_P(SwitchTest, ErrnoSurvivesAYield) {
  Runtime runtime(options());
  test::in_fiber(runtime, [&] {
    Fiber other = runtime.spawn([] {
      EXPECT_EQ(errno, 0);  // a new fiber starts with none
      errno = ENOTTY;
      this_fiber::yield();
      EXPECT_EQ(errno, ENOTTY);
    });
    errno = EDOM;
    this_fiber::yield();
    EXPECT_EQ(errno, EDOM);
    this_fiber::yield();
    EXPECT_EQ(errno, EDOM);
    other.join();
  });
}

// What the compiler may assume of errno's address holds, as no fiber changes its thread.
TEST_P(SwitchTest, ErrnoOfAFailedCallIsTheCallers) {
  Runtime runtime(options());
  std::vector<Fiber> fibers;
  for (int i = 0; i < 20; ++i) {
    fibers.push_back(runtime.spawn([i] {
      for (int j = 0; j < 20; ++j) {
        errno = 0;
        if (i % 2 == 0) {
          EXPECT_EQ(flexsc::close(-1), -1);
          EXPECT_EQ(errno, EBADF);
        } else {
          EXPECT_EQ(flexsc::open("/nowhere/at/all", O_RDONLY), -1);
          EXPECT_EQ(errno, ENOENT);
        }
      }
    }));
  }
  for (Fiber& fiber : fibers) fiber.join();
}

using test::current_what;

// With the exception state left to the thread, the first fiber's current_exception()
// would be the second one's after the switch back.
TEST_P(SwitchTest, AHandlerMayYieldWhileAnotherFiberThrows) {
  Runtime runtime(options());
  test::in_fiber(runtime, [&] {
    Fiber other = runtime.spawn([] {
      EXPECT_EQ(current_what(), "none");
      try {
        throw std::runtime_error("second");
      } catch (const std::runtime_error&) {
        this_fiber::yield();
        EXPECT_EQ(current_what(), "second");
        this_fiber::yield();
        EXPECT_EQ(current_what(), "second");
      }
      EXPECT_EQ(current_what(), "none");
    });
    try {
      throw std::runtime_error("first");
    } catch (const std::runtime_error&) {
      this_fiber::yield();
      EXPECT_EQ(current_what(), "first");
      this_fiber::yield();
      EXPECT_EQ(current_what(), "first");
    }
    EXPECT_EQ(current_what(), "none");
    other.join();
  });
}

TEST_P(SwitchTest, AHandlerMayMakeCalls) {
  Runtime runtime(options());
  std::vector<Fiber> fibers;
  for (int i = 0; i < 10; ++i) {
    fibers.push_back(runtime.spawn([i] {
      const std::string mine = "of " + std::to_string(i);
      for (int j = 0; j < 20; ++j) {
        try {
          throw std::runtime_error(mine);
        } catch (const std::runtime_error&) {
          (void)flexsc::close(-1);
          EXPECT_EQ(current_what(), mine);
        }
      }
    }));
  }
  for (Fiber& fiber : fibers) fiber.join();
}

/// Switches away while an exception is on its way up.
struct YieldsOnDestruction {
  ~YieldsOnDestruction() {
    EXPECT_EQ(std::uncaught_exceptions(), 1);
    this_fiber::yield();
    EXPECT_EQ(std::uncaught_exceptions(), 1);
  }
};

TEST_P(SwitchTest, UnwindingMaySwitch) {
  Runtime runtime(options());
  std::vector<Fiber> fibers;
  for (int i = 0; i < 5; ++i) {
    fibers.push_back(runtime.spawn([i] {
      EXPECT_EQ(std::uncaught_exceptions(), 0);
      try {
        const YieldsOnDestruction yields;
        throw std::runtime_error(std::to_string(i));
      } catch (const std::runtime_error& error) {
        EXPECT_EQ(error.what(), std::to_string(i));
      }
      EXPECT_EQ(std::uncaught_exceptions(), 0);
    }));
  }
  for (Fiber& fiber : fibers) fiber.join();
}

TEST_P(SwitchTest, ThreadLocalsAreThoseOfOneCarrierThroughout) {
  static thread_local int of_thread = 0;
  Runtime runtime(options(2));
  std::vector<Fiber> fibers;
  for (int i = 0; i < 50; ++i) {
    fibers.push_back(runtime.spawn([] {
      const int* const before = &of_thread;
      for (int j = 0; j < 20; ++j) {
        if (j % 3 == 0) (void)flexsc::close(-1);
        this_fiber::yield();
        EXPECT_EQ(&of_thread, before);
      }
    }));
  }
  for (Fiber& fiber : fibers) fiber.join();
}

}  // namespace
}  // namespace flexsc
