// SPDX-License-Identifier: MIT
// A group gives up calls at set-up, and never gets them back.
#include <array>
#include <vector>

#include "process.hpp"

namespace flexsc_guest {
namespace {

class Narrow : public GuestTest {
 protected:
  static long ask(const Group& group, unsigned long what, __u32 first,
                  std::vector<unsigned char>& classes) {
    flexsc_policy policy{};
    policy.size = sizeof policy;
    policy.first = first;
    policy.count = static_cast<__u32>(classes.size());
    policy.classes = arg(classes.data());
    return control(group.fd(), what, &policy);
  }
  static long narrow(const Group& group, long nr, flexsc_call_class most) {
    std::vector<unsigned char> classes{static_cast<unsigned char>(most)};
    return ask(group, FLEXSC_IOC_NARROW, static_cast<__u32>(nr), classes);
  }
  static int class_of(const Group& group, long nr) {
    std::vector<unsigned char> classes{0xff};
    REQUIRE_EQ(ask(group, FLEXSC_IOC_POLICY, static_cast<__u32>(nr), classes), 0);
    return classes[0];
  }
};

TEST_F(Narrow, ARefusedCallIsRefusedEverywhere) {
  const Group group;
  ASSERT_EQ(narrow(group, SYS_getppid, FLEXSC_CLASS_REFUSED), 0);
  ASSERT_EQ(narrow(group, SYS_ioctl, FLEXSC_CLASS_REFUSED), 0);
  group.create_pool();
  const Client client(group);
  EXPECT_EQ(class_of(group, SYS_getppid), FLEXSC_CLASS_REFUSED);
  for (const long nr : {SYS_getppid, SYS_ioctl}) {
    const Call made = call(nr, 0, 0, 0);
    EXPECT_EQ(client.run(made), -FLEXSC_E_REFUSED);
    EXPECT_EQ(client.run_flushed(made), -FLEXSC_E_REFUSED);
    client.fill(0, 0, made);
    execute(client, By::kHelp, 0, 1, 1);
    EXPECT_EQ(client.take(0, 0), -FLEXSC_E_REFUSED);
    // In a chain, which is checked before any of it runs.
    for (const By by : {By::kWorker, By::kHelp, By::kFlush}) {
      const std::array chain{call(SYS_getpid), made};
      EXPECT_EQ(run_chain(client, by, chain), (std::vector<long>{-ECANCELED, -FLEXSC_E_REFUSED}))
          << name_of(by);
    }
  }
  EXPECT_EQ(client.run(SYS_getpid), ::getpid()) << "and no other call";
}

TEST_F(Narrow, ACallCanBeLeftToFlush) {
  const Group group;
  ASSERT_EQ(narrow(group, SYS_getppid, FLEXSC_CLASS_CALLER), 0);
  ASSERT_EQ(narrow(group, SYS_fcntl, FLEXSC_CLASS_CALLER), 0) << "one that goes by its arguments";
  ASSERT_EQ(narrow(group, SYS_read, FLEXSC_CLASS_CALLER), 0) << "one that waits for its file";
  group.create_pool();
  const Client client(group);
  const Pipe pipe = make_pipe();
  char byte = 0;
  const std::array calls{call(SYS_getppid), call(SYS_fcntl, 0, F_GETFD),
                         call(SYS_read, pipe.reader.get(), &byte, 1)};
  for (const Call& made : calls) {
    EXPECT_EQ(class_of(group, made.nr), FLEXSC_CLASS_CALLER) << made.nr;
    EXPECT_EQ(client.run(made), -FLEXSC_E_CALLER_ONLY) << made.nr;
    client.fill(0, 0, made);
    execute(client, By::kHelp, 0, 1, 1);
    EXPECT_EQ(client.take(0, 0), -FLEXSC_E_CALLER_ONLY) << made.nr;
  }
  put(pipe.writer, "x");
  for (const Call& made : calls) {
    EXPECT_GE(client.run_flushed(made), 0) << made.nr;
  }
  EXPECT_EQ(byte, 'x');
  EXPECT_EQ(client.run(SYS_fcntl, 0, F_SETLKW), -FLEXSC_E_CALLER_ONLY);
}

TEST_F(Narrow, NothingIsEverWidened) {
  const Group group;
  ASSERT_EQ(narrow(group, SYS_getppid, FLEXSC_CLASS_REFUSED), 0);
  for (const auto most : {FLEXSC_CLASS_WORKER, FLEXSC_CLASS_ARGS, FLEXSC_CLASS_CALLER}) {
    ASSERT_EQ(narrow(group, SYS_getppid, most), 0);
    ASSERT_EQ(narrow(group, SYS_setuid, most), 0);
    ASSERT_EQ(narrow(group, SYS_gettid, most), 0);
    EXPECT_EQ(class_of(group, SYS_getppid), FLEXSC_CLASS_REFUSED);
    EXPECT_EQ(class_of(group, SYS_setuid), FLEXSC_CLASS_REFUSED);
    EXPECT_EQ(class_of(group, SYS_gettid), FLEXSC_CLASS_CALLER);
  }
  // Beyond the table there is nothing to give, nor to take.
  std::vector<unsigned char> all(1024, FLEXSC_CLASS_WORKER);
  for (const __u32 first : {0U, 600U, 0xfffffc00U, 0xffffffffU}) {
    ASSERT_EQ(ask(group, FLEXSC_IOC_NARROW, first, all), 0) << first;
  }
  EXPECT_EQ(class_of(group, SYS_setuid), FLEXSC_CLASS_REFUSED);
  EXPECT_EQ(class_of(group, 600), FLEXSC_CLASS_REFUSED);
  EXPECT_EQ(class_of(group, SYS_getpid), FLEXSC_CLASS_WORKER);
}

TEST_F(Narrow, OfOneGroupAlone) {
  const Group narrowed;
  const Group other;
  ASSERT_EQ(narrow(narrowed, SYS_getpid, FLEXSC_CLASS_REFUSED), 0);
  EXPECT_EQ(class_of(other, SYS_getpid), FLEXSC_CLASS_WORKER);
  other.create_pool();
  EXPECT_EQ(Client(other).run(SYS_getpid), ::getpid());
}

TEST_F(Narrow, BeforeTheFirstClient) {
  const Group group;
  group.create_pool();
  { const Client client(group); }
  EXPECT_EQ(narrow(group, SYS_getpid, FLEXSC_CLASS_REFUSED), -EBUSY) << "it had one";
  EXPECT_EQ(class_of(group, SYS_getpid), FLEXSC_CLASS_WORKER);
}

TEST_F(Narrow, BadRequestsChangeNothing) {
  const Group group;
  std::vector<unsigned char> classes{FLEXSC_CLASS_REFUSED, FLEXSC_CLASS_ARGS + 1};
  EXPECT_EQ(ask(group, FLEXSC_IOC_NARROW, SYS_read, classes), -EINVAL);
  std::vector<unsigned char> many(1025);
  EXPECT_EQ(ask(group, FLEXSC_IOC_NARROW, 0, many), -EINVAL);
  flexsc_policy policy{};
  policy.size = sizeof policy;
  policy.count = 2;
  EXPECT_EQ(control(group.fd(), FLEXSC_IOC_NARROW, &policy), -EFAULT);
  policy.reserved = 1;
  EXPECT_EQ(control(group.fd(), FLEXSC_IOC_NARROW, &policy), -EINVAL);
  EXPECT_EQ(class_of(group, SYS_read), FLEXSC_CLASS_WORKER);
}

}  // namespace
}  // namespace flexsc_guest
