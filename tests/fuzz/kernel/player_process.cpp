// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "kit.hpp"
#include "passing.hpp"
#include "player.hpp"

namespace flexsc_fuzz {
namespace {

using Operation = void (Player::*)(Bytes&);

/// Descriptors in a message that nobody receives.
void send_away(int first, int second) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) return;
  flexsc_guest::send_fds(ends[0], std::array{first, second}, MSG_DONTWAIT | MSG_NOSIGNAL);
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace

/// Wakes what waits, or empties what is full.
void Player::feed(Bytes& in) {
  static constexpr std::uint64_t kOne = 1;
  const unsigned which = in.below(World::kFiles);
  const int fd = world_.files[which];
  const int mode = ::fcntl(fd, F_GETFL);
  if (mode < 0) return;
  if (which % 2 != 0 || which == 6) {
    ::fcntl(fd, F_SETFL, mode | O_NONBLOCK);
    (void)flexsc_guest::direct(SYS_write, fd, &kOne, sizeof kOne);
  } else {
    std::array<char, 64> bytes{};
    ::fcntl(fd, F_SETFL, mode | O_NONBLOCK);
    (void)flexsc_guest::direct(SYS_read, fd, bytes.data(), bytes.size());
  }
  ::fcntl(fd, F_SETFL, mode);
}

/// A child that tries what it must not be able to do.
void Player::fork(Bytes& in) {
  const unsigned how = in.u8();
  const FuzzClient& client = world_.clients[how % World::kClients];
  const pid_t child = ::fork();
  if (child < 0) return;
  if (child == 0) {
    flexsc_guest::command(client.fd, 1 + (how >> 2 & 3), 0);
    if ((how & 64) != 0) ::close(client.fd);
    if (std::uint8_t* const base = client.base; base != nullptr) {
      touch([&] { *base = 1; });  // there is nothing
    }
    ::_exit(0);
  }
  if ((how & 128) != 0) ::waitpid(child, nullptr, 0);
}

void Player::pass(Bytes& in) {
  const int first = world_.any_fd(in);
  send_away(first, world_.any_fd(in));
}

/// After this the group must not do anything any more.
void Player::change_identity(Bytes& in) {
  switch (in.below(8)) {
    case 0:
      flexsc_guest::direct(SYS_setresuid, 65534, 65534, 65534);
      break;
    case 1:
      flexsc_guest::direct(SYS_unshare, CLONE_FS);
      break;
    case 2:
      flexsc_guest::direct(SYS_unshare, CLONE_FILES);
      break;
    case 3:
      flexsc_guest::direct(SYS_unshare, CLONE_NEWUSER);
      break;
    case 4: {
      sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
      sock_fprog program{1, &allow};
      ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
      break;
    }
    case 5:
      ::prctl(PR_SET_NAME, "\n flexsc=\\");
      break;
    case 6:
      ::prctl(PR_SET_DUMPABLE, in.below(2));
      break;
    default:
      flexsc_guest::direct(SYS_chdir, "/");
  }
}

/// Any call, by the thread itself.
void Player::direct_call(Bytes& in) {
  flexsc_guest::Call call{World::number(in), {}};
  const unsigned arguments = in.below(7);
  for (unsigned i = 0; i < arguments; ++i) call.args[i] = world_.argument(in);
  switch (call.nr) {
    case SYS_fork:
    case SYS_vfork:
    case SYS_clone:
    case SYS_clone3:
    case SYS_rt_sigreturn:
    case SYS_exit:
      return;  // leave() and fork() are for that: here they would go on with this thread's stack
    default:
      flexsc_guest::direct(call);
  }
}

void Player::nap(Bytes& in) {
  ::usleep(in.u8() * 8U);
}

void Player::aside(Bytes& in) {
  const unsigned length = in.u8();
  if (aside_) aside_(in.take(length));
}

/// The process, the thread that owns the groups, or the program ends, now.
void Player::leave(Bytes& in) {
  switch (in.below(16)) {
    case 0:
      ::_exit(0);
    case 1:
      ::kill(::getpid(), SIGKILL);
      break;
    case 2:
      world_.over = true;
      flexsc_guest::direct(SYS_exit, 0);
      break;
    case 3: {
      static char name[] = "true";
      std::array<char*, 2> words{name, nullptr};
      char* const none = nullptr;
      (void)flexsc_guest::direct(SYS_execveat, program_, "", words.data(), &none, 0x1000);
      break;
    }
    case 4:
      ::kill(::getpid(), SIGALRM);
      break;
    default:
      break;
  }
}

void Player::step(Bytes& in) {
  // What is listed more often happens more often.
  static constexpr std::array<Operation, 48> kOperations{
      &Player::fill,
      &Player::fill,
      &Player::fill,
      &Player::fill,
      &Player::chain,
      &Player::chain,
      &Player::post,
      &Player::post,
      &Player::post,
      &Player::post,
      &Player::scribble,
      &Player::scribble,
      &Player::take,
      &Player::doorbell,
      &Player::flush,
      &Player::flush,
      &Player::notify,
      &Player::wait,
      &Player::wait,
      &Player::wait,
      &Player::cancel,
      &Player::cancel,
      &Player::raw_command,
      &Player::group,
      &Player::pool,
      &Player::pool,
      &Player::pool,
      &Player::create_client,
      &Player::map,
      &Player::unmap,
      &Player::protect,
      &Player::close,
      &Player::duplicate,
      &Player::raw_ioctl,
      &Player::stats,
      &Player::policy,
      &Player::feed,
      &Player::feed,
      &Player::fork,
      &Player::pass,
      &Player::change_identity,
      &Player::direct_call,
      &Player::nap,
      &Player::nap,
      &Player::aside,
      &Player::aside,
      &Player::leave,
      &Player::close,
  };
  (this->*kOperations[in.below(kOperations.size())])(in);
}

void Player::play(Bytes in) {
  while (!in.empty()) step(in);
}

}  // namespace flexsc_fuzz
