// SPDX-License-Identifier: MIT
// What an administrator says when the module is loaded.
#include <linux/audit.h>
#include <linux/netlink.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "module_fixture.hpp"

namespace flexsc_guest {
namespace {

class Parameter : public Module {
 protected:
  static void reload(const std::string& parameters) {
    REQUIRE(unload_soon());
    REQUIRE_EQ(load(parameters), 0);
    make_node();
  }
  void TearDown() override {
    if (!IsSkipped()) {
      unload_soon();
      EXPECT_EQ(load(), 0);
      make_node();
    }
    Module::TearDown();
  }
};

TEST_F(Parameter, DeniedCallsAreRefusedToEverybody) {
  reload("deny=getppid,21,openat");
  const Rig rig;
  for (const long nr : {long{SYS_getppid}, 21L, long{SYS_openat}}) {
    EXPECT_EQ(rig.client.run(nr, -1, 0, 0, 0), -FLEXSC_E_REFUSED) << nr;
    EXPECT_EQ(rig.client.run_flushed(call(nr, -1, 0, 0, 0)), -FLEXSC_E_REFUSED) << nr;
  }
  EXPECT_EQ(rig.client.run(SYS_getpid), ::getpid());
}

TEST_F(Parameter, AListThatIsWrongDoesNotLoad) {
  ASSERT_TRUE(unload_soon());
  for (const char* list : {"deny=getppid,no_such_call", "deny=512", "deny=-1", "deny=1x"}) {
    EXPECT_EQ(load(list), -EINVAL) << list;
  }
  EXPECT_EQ(load("deny="), 0) << "denies nothing";
  make_node();
  EXPECT_EQ(Rig().client.run(SYS_getppid), ::getppid());
}

/// A child that does body while somebody traces it, as a debugger does that only attached.
std::string traced(const std::function<void()>& body) {
  Child child([&] {
    REQUIRE_EQ(::raise(SIGSTOP), 0);
    body();
  });
  child.wait_status(WUNTRACED);
  REQUIRE_EQ(::ptrace(PTRACE_SEIZE, child.pid(), 0, 0), 0);
  child.kill(SIGCONT);
  // Whatever the child stops for goes on; its message says how it ends.
  int status = 0;
  while (::waitpid(child.pid(), &status, 0) == child.pid() && WIFSTOPPED(status)) {
    ::ptrace(PTRACE_CONT, child.pid(), 0,
             status >> 16 ? 0 : (WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status)));
  }
  child.reaped();
  return WIFEXITED(status) ? "exit " + std::to_string(WEXITSTATUS(status)) : "not exit";
}

long open_device() {
  return direct(SYS_openat, AT_FDCWD, FLEXSC_DEVICE, O_RDWR, 0);
}

TEST_F(Parameter, TracedProcessesCanBeRefused) {
  EXPECT_EQ(traced([] { REQUIRE(open_device() >= 0); }), "exit 0") << "they are not by default";
  reload("refuse_traced=1");
  EXPECT_EQ(traced([] { REQUIRE_EQ(open_device(), -EACCES); }), "exit 0");
  EXPECT_EQ(in_child([] { REQUIRE_EQ(Rig().client.run(SYS_getppid), ::getppid()); }), "exit 0");
}

// A process is audited, as far as the kernel is concerned, if it began after audit was enabled.
TEST_F(Parameter, AuditedProcessesCanBeRefused) {
  const Fd audit(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT));
  if (audit.get() < 0) GTEST_SKIP() << "this kernel has no audit";
  struct {
    nlmsghdr header;
    audit_status status;
  } message{};
  message.header.nlmsg_len = sizeof message;
  message.header.nlmsg_type = AUDIT_SET;
  message.header.nlmsg_flags = NLM_F_REQUEST;
  message.status.mask = AUDIT_STATUS_ENABLED;
  message.status.enabled = 1;
  ASSERT_EQ(::send(audit.get(), &message, sizeof message, 0), ssize_t{sizeof message});
  EXPECT_EQ(in_child([] { REQUIRE(open_device() >= 0); }), "exit 0") << "they are not by default";
  reload("refuse_audited=1");
  EXPECT_EQ(in_child([] { REQUIRE_EQ(open_device(), -EACCES); }), "exit 0");
  message.status.enabled = 0;
  ASSERT_EQ(::send(audit.get(), &message, sizeof message, 0), ssize_t{sizeof message});
}

}  // namespace
}  // namespace flexsc_guest
