// SPDX-License-Identifier: MIT
/// Description: ESCA's names do what ESCA's programs expect, and report errors.
#include "flexsc/esca.h"

#include <sys/syscall.h>

#include <cerrno>
#include <cstdlib>

#include "flexsc/batch.hpp"
#include "support.hpp"

namespace flexsc::test {
namespace {

TEST(Esca, NotBeforeInit) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process of its own, from its start
  EXPECT_EXIT(std::_Exit(::batch_start() == -1 && errno == EINVAL ? 0 : 1),
              testing::ExitedWithCode(0), "");
}

TEST(Esca, StartRecordFlush) {
  ASSERT_EQ(esca_init(), 0);
  ASSERT_EQ(esca_init(), 0);
  const Pipe pipe(O_NONBLOCK);
  long promised = 0;
  ASSERT_EQ(::batch_start(), 0);
  EXPECT_EQ(::batch_start(), -1);
  EXPECT_EQ(errno, EBUSY);
  ASSERT_TRUE(batch_record(make_call(SYS_write, pipe.writer(), "x", 1), promised));
  EXPECT_EQ(::batch_flush(), 1);
  char byte = 0;
  EXPECT_EQ(read(pipe.reader(), &byte, 1), 1);

  ASSERT_EQ(::batch_start(), 0);
  ASSERT_TRUE(batch_record(make_call(SYS_close, -1), promised));
  errno = 0;
  EXPECT_EQ(::batch_flush(), -1);
  EXPECT_EQ(errno, EBADF);
  EXPECT_EQ(::batch_flush(), 0) << "no segment";
}

}  // namespace
}  // namespace flexsc::test
