// SPDX-License-Identifier: MIT
// Random bytes over all the shared pages while everything runs. The child that does it is nobody,
// in namespaces and a root directory of its own: among random calls there are kill() and unlink().
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <random>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

constexpr auto kRound = 120s;

class Garbage : public GuestTest {
 protected:
  void SetUp() override {
    GuestTest::SetUp();
    if (!IsSkipped() && ::geteuid() != 0) GTEST_SKIP() << "makes namespaces: needs root";
  }
};

/// Where random calls can do no harm. Returns as process 1 of its own pid namespace.
void enter_cell() {
  struct stat device {};
  REQUIRE_EQ(::stat(FLEXSC_DEVICE, &device), 0);
  const std::string root = "/tmp/flexsc-cell-" + std::to_string(::getpid());
  ::mkdir("/tmp", 01777);
  REQUIRE_EQ(::mkdir(root.c_str(), 0755), 0);
  REQUIRE_EQ(::unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS), 0);
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0) {
    // An initial ramfs is nobody's mount: nothing to make private then.
    REQUIRE_EQ(errno, EINVAL);
  }
  REQUIRE_EQ(::mount("none", root.c_str(), "tmpfs", 0, "size=4m,mode=1777"), 0);

  // The first process of the namespace is the one that plays; this one only waits for it.
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid > 0) {
    int status = 0;
    const bool ended = eventually([&] { return ::waitpid(pid, &status, WNOHANG) == pid; }, kRound);
    if (!ended) ::kill(pid, SIGKILL);
    const bool died = ended || eventually([&] { return ::waitpid(pid, &status, WNOHANG) == pid; });
    ::umount2(root.c_str(), MNT_DETACH);
    ::rmdir(root.c_str());
    ::_exit(!died ? 4 : !ended ? 3 : WIFEXITED(status) && WEXITSTATUS(status) == 255 ? 2 : 0);
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  REQUIRE_EQ(::mknod((root + "/flexsc").c_str(), S_IFCHR | 0666, device.st_rdev), 0);
  REQUIRE_EQ(::chmod((root + "/flexsc").c_str(), 0666), 0);
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
  REQUIRE_EQ(::chroot(root.c_str()), 0);
  REQUIRE_EQ(::chdir("/"), 0);
  ::close_range(3, ~0U, 0);

  const auto limit = [](__rlimit_resource what, rlim_t value) {
    const rlimit both{value, value};
    REQUIRE_EQ(::setrlimit(what, &both), 0);
  };
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_FSIZE, 1 << 20);
  limit(RLIMIT_NOFILE, 256);
  limit(RLIMIT_NPROC, 400);
  limit(RLIMIT_AS, 1 << 30);
  limit(RLIMIT_CPU, 60);
  REQUIRE_EQ(::setgroups(0, nullptr), 0);
  REQUIRE_EQ(::setresgid(kNobody, kNobody, kNobody), 0);
  REQUIRE_EQ(::setresuid(kNobody, kNobody, kNobody), 0);
  REQUIRE_EQ(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
}

/// How the bytes are chosen.
enum class Nonsense {
  kNoise,        ///< any bytes anywhere
  kCalls,        ///< plausible numbers and arguments
  kCallsNoMaps,  ///< the same without those that take our own memory away
};

bool takes_memory_away(__u32 nr) {
  switch (nr) {
    case SYS_mmap:
    case SYS_munmap:
    case SYS_mprotect:
    case SYS_mremap:
    case SYS_brk:
    case SYS_madvise:
    case SYS_pkey_mprotect:
    case SYS_mlock:
    case SYS_mlock2:
    case SYS_mlockall:
    case SYS_close:
    case SYS_close_range:
    case SYS_dup2:
    case SYS_dup3:
    case SYS_shmat:
    case SYS_kill:
    case SYS_tkill:
    case SYS_tgkill:
      return true;
    default:
      return false;
  }
}

class Player {
 public:
  Player(unsigned seed, Nonsense kind) : engine_(seed), kind_(kind) {}

  void scribble(const Client& client) {
    auto* bytes = static_cast<unsigned char*>(client.base());
    if (kind_ == Nonsense::kNoise) {
      // Whole words at random places, header included.
      for (int i = 0; i < 64; ++i) {
        const std::size_t at = random() % (client.bytes() / 8);
        const __u64 value = (__u64{random()} << 32) | random();
        std::memcpy(bytes + at * 8, &value, 8);
      }
      return;
    }
    for (int i = 0; i < 16; ++i) {
      flexsc_entry& entry = client.entry(random() % client.pages(), random() % 64);
      __u32 nr = random() % 470;
      while (kind_ == Nonsense::kCallsNoMaps && takes_memory_away(nr)) nr = random() % 470;
      entry.nr = nr;
      entry.flags = 0;
      entry.from = 0;
      for (__u64& argument : entry.args) argument = plausible(client);
    }
    // Submission words of the pool and of flush.
    for (const unsigned queue : {0U, unsigned{FLEXSC_QUEUE_FLUSH}}) {
      const __u64 bits = __u64{random()} & __u64{random()};
      client.header().submission[queue].page[random() % client.pages()] |= bits;
    }
  }
  unsigned random() { return static_cast<unsigned>(engine_()); }

 private:
  __u64 plausible(const Client& client) {
    switch (random() % 8) {
      case 0:
        return 0;
      case 1:
        return random() % 16;  // descriptors, flags
      case 2:
        return ~__u64{0} - random() % 128;  // -1, AT_FDCWD
      case 3:
        return arg(client.base()) + random() % client.bytes();
      case 4:
        return arg(scratch_.data()) + random() % scratch_.size();
      case 5:
        return __u64{1} << random() % 64;
      case 6:
        return random() % 65536;
      default:
        return (__u64{random()} << 32) | random();
    }
  }
  std::mt19937 engine_;
  Nonsense kind_;
  std::array<unsigned char, 65536> scratch_{};
};

[[noreturn]] void play(unsigned seed, Nonsense kind, int rounds) {
  // If its memory or its descriptors go, it goes: what counts is that the kernel stays.
  Fd device(::open("/flexsc", O_RDWR | O_CLOEXEC));
  REQUIRE(device.get() >= 0);
  const Group group(std::move(device));
  REQUIRE_EQ(group.create_pool({.concurrency = 2, .standby_max = 60, .spin_us = 50}), 0);
  const Client first(group, 2);
  const Client second(group, 5);
  const std::array<const Client*, 2> clients = {&first, &second};
  for (unsigned t = 0; t < 3; ++t) {
    std::thread([&, t] {
      // Kept off the stack, which random writes of others may not spare.
      auto player = std::make_unique<Player>(seed + 1000 * (t + 1), kind);
      for (;;) {
        const Client& client = *clients[player->random() % 2];
        switch (player->random() % 4) {
          case 0:
            client.doorbell(player->random() % 4 == 0 ? player->random() : 0);
            break;
          case 1:
            (void)client.wait(player->random() % 400,
                              std::chrono::microseconds(player->random() % 2000));
            break;
          case 2:
            client.notify();
            break;
          default:
            player->scribble(client);
        }
      }
    }).detach();
  }
  // Flushed calls run in this thread and may wait for something that never comes.
  std::thread([&] {
    for (;;) first.flush();
  }).detach();
  auto player = std::make_unique<Player>(seed, kind);
  for (int i = 0; i < rounds; ++i) {
    player->scribble(*clients[static_cast<unsigned>(i) % 2]);
    clients[static_cast<unsigned>(i) % 2]->doorbell();
    if (i % 16 == 0) std::this_thread::sleep_for(1ms);
  }
  ::_exit(0);
}

void play_rounds(Nonsense kind, int children, int rounds) {
  const char* given = std::getenv("FLEXSC_SEED");
  const unsigned seed = given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 0))
                                         : std::random_device{}();
  std::cout << "FLEXSC_SEED=" << seed << std::endl;
  for (int i = 0; i < children; ++i) {
    Child child([&] {
      enter_cell();
      play(seed + static_cast<unsigned>(i) * 7919, kind, rounds);
    });
    ASSERT_EQ(child.join(3 * kRound), "exit 0") << "2: set-up failed, 3: had to be killed, "
                                                   "4: could not be killed";
    // The module serves others as before.
    const Rig rig;
    ASSERT_EQ(rig.client.run(SYS_getppid), ::getppid());
    ASSERT_EQ(rig.client.run_flushed(call(SYS_getppid)), ::getppid());
  }
}

TEST_F(Garbage, NoiseOverAllPages) {
  play_rounds(Nonsense::kNoise, 4, 3'000);
}

TEST_F(Garbage, PlausibleCalls) {
  play_rounds(Nonsense::kCalls, 12, 2'000);
}

TEST_F(Garbage, PlausibleCallsOfAProcessThatLives) {
  play_rounds(Nonsense::kCallsNoMaps, 6, 3'000);
}

}  // namespace
}  // namespace flexsc_guest
