// SPDX-License-Identifier: MIT
/// Description: what is particular to engine `uring`: descriptors in non-blocking mode and time
/// limits of sockets count as for the direct call, sends are whole, polls hold no worker, a
/// channel changes its thread only when idle, and where there is no io_uring it says so.
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <thread>
#include <vector>

#include "ring.hpp"
#include "support.hpp"

namespace flexsc::test {
namespace {

struct Sockets : Pipe {
  explicit Sockets(int flags = 0) {
    close_reader();
    close_writer();
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | flags, 0, fds.data()), 0);
  }
  void limit(int option) const {
    const timeval time{.tv_sec = 0, .tv_usec = 2000};
    EXPECT_EQ(setsockopt(fds[0], SOL_SOCKET, option, &time, sizeof time), 0);
  }
};

/// Each test with and without the promise, and with a submission thread.
enum class Way { usual, plain, submission_thread };

class UringTest : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    const std::string why = missing(EngineKind::uring);
    if (!why.empty()) GTEST_SKIP() << why;
    options.kind = EngineKind::uring;
    options.plain_descriptors = GetParam() == Way::plain;
    options.submission_thread = GetParam() == Way::submission_thread;
    engine = Engine::open(options);
    channel = engine->make_channel();
  }

  EngineOptions options;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<Channel> channel;
  std::array<char, 64> buffer{};
};
INSTANTIATE_TEST_SUITE_P(, UringTest,
                         testing::Values(Way::usual, Way::plain, Way::submission_thread),
                         [](const testing::TestParamInfo<Way>& info) {
                           return std::string(info.param == Way::usual   ? "usual"
                                              : info.param == Way::plain ? "plain"
                                                                         : "submission_thread");
                         });

TEST_P(UringTest, ReceivesThatWaitHoldNoWorker) {
  constexpr std::uintptr_t kMany = 200;
  std::vector<Sockets> pairs(kMany);
  std::vector<char> bytes(kMany);
  for (std::uintptr_t i = 0; i < kMany; ++i) {
    ASSERT_TRUE(channel->post(
        make_call(i % 2 == 0 ? SYS_recvfrom : SYS_read, pairs[i].reader(), &bytes[i], 1, 0, 0, 0),
        token(i)));
  }
  channel->wait(std::chrono::milliseconds(2));
  for (const Sockets& pair : pairs) ASSERT_EQ(send(pair.writer(), "x", 1, 0), 1);
  for (const Completion& each : drain(*channel)) EXPECT_EQ(each.result, 1);
  EXPECT_EQ(bytes, std::vector<char>(kMany, 'x'));
  EXPECT_EQ(engine->stats().blocked, 0U);
  EXPECT_EQ(engine->stats().executed, kMany);
}

TEST_P(UringTest, OfTwoFaultsTheSameIsToldAsByTheDirectCall) {
  open_how unknown{};
  unknown.resolve = 1U << 20;
  open_how mode{};
  mode.mode = 0600;  // without O_CREAT
  std::array<char, 256> status{};
  const std::vector<Call> calls = {
      make_call(SYS_openat, AT_FDCWD, "", O_CREAT | O_DIRECTORY, 0600),
      make_call(SYS_openat, AT_FDCWD, nullptr, O_CREAT | O_DIRECTORY, 0600),
      make_call(SYS_openat2, AT_FDCWD, "", &unknown, sizeof unknown),
      make_call(SYS_openat2, AT_FDCWD, nullptr, &mode, sizeof mode),
      make_call(SYS_openat2, AT_FDCWD, "/", &unknown, sizeof unknown),
      make_call(SYS_statx, AT_FDCWD, "", 0, 1U << 31, status.data()),
      make_call(SYS_statx, AT_FDCWD, nullptr, 1 << 30, 0, status.data()),
      make_call(SYS_renameat2, AT_FDCWD, nullptr, AT_FDCWD, "", 1 << 10),
      make_call(SYS_unlinkat, AT_FDCWD, nullptr, 1 << 10),
      make_call(SYS_linkat, AT_FDCWD, nullptr, AT_FDCWD, "", 1 << 28),
  };
  for (const Call& call : calls) {
    EXPECT_EQ(call_through(*channel, call), execute(call)) << call.nr << " with " << call.args[2];
  }
}

TEST_P(UringTest, ASendIsWhole) {
  const Sockets pair;
  const std::vector<char> much(std::size_t{4} << 20, 'm');
  ASSERT_TRUE(channel->post(make_call(SYS_sendto, pair.reader(), much.data(), much.size(), 0, 0, 0),
                            token(1)));
  ASSERT_TRUE(channel->post(make_call(SYS_getppid), token(2)));
  channel->wait(kForever);
  std::thread taker([&] {
    std::vector<char> part(65536);
    for (std::size_t got = 0; got < 2 * much.size();) {
      const ssize_t some = read(pair.writer(), part.data(), part.size());
      ASSERT_GT(some, 0);
      got += static_cast<std::size_t>(some);
    }
  });
  long sent = 0;
  for (const Completion& each : drain(*channel)) {
    if (each.token == token(1)) sent = each.result;
  }
  EXPECT_EQ(sent, static_cast<long>(much.size()));
  EXPECT_EQ(call_through(*channel, make_call(SYS_write, pair.reader(), much.data(), much.size())),
            static_cast<long>(much.size()));
  taker.join();
}

TEST_P(UringTest, APollIsNoWorkers) {
  const Sockets pair;
  pollfd one{pair.reader(), POLLIN | POLLOUT, 0};
  EXPECT_EQ(call_through(*channel, make_call(SYS_poll, &one, 1, -1)), 1);
  EXPECT_EQ(one.revents, POLLOUT);
  one.events = POLLIN;
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(call_through(*channel, make_call(SYS_poll, &one, 1, 3)), 0);
  EXPECT_GE(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(3));
  EXPECT_EQ(one.revents, 0);
  ASSERT_TRUE(channel->post(make_call(SYS_poll, &one, 1, 3600000), token(1)));
  channel->wait(std::chrono::milliseconds(1));
  ASSERT_EQ(write(pair.writer(), "x", 1), 1);
  EXPECT_EQ(drain(*channel).front().result, 1);
  EXPECT_EQ(one.revents, POLLIN);
  one.fd = 9999;
  EXPECT_EQ(call_through(*channel, make_call(SYS_poll, &one, 1, -1)), 1);
  EXPECT_EQ(one.revents, POLLNVAL);
  EXPECT_EQ(engine->stats().blocked, 0U);
}

TEST_P(UringTest, APollCanBeCancelled) {
  const Sockets pair;
  pollfd one{pair.reader(), POLLIN, 0};
  for (const int limit : {-1, 3600000}) {
    ASSERT_TRUE(channel->post(make_call(SYS_poll, &one, 1, limit), token(1)));
    channel->wait(std::chrono::milliseconds(1));
    EXPECT_TRUE(channel->cancel(token(1)));
    EXPECT_EQ(drain(*channel).front().result, -ECANCELED);
  }
}

TEST_P(UringTest, AnEpollInstanceIsWaitedForInTheRing) {
  const Sockets pair;
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = 77}};
  ASSERT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, pair.reader(), &event), 0);
  epoll_event out{};
  EXPECT_EQ(call_through(*channel, make_call(SYS_epoll_wait, epoll, &out, 1, 2)), 0);
  ASSERT_TRUE(channel->post(make_call(SYS_epoll_wait, epoll, &out, 1, -1), token(1)));
  channel->wait(std::chrono::milliseconds(1));
  ASSERT_EQ(write(pair.writer(), "x", 1), 1);
  EXPECT_EQ(drain(*channel).front().result, 1);
  EXPECT_EQ(out.data.u64, 77U);
  EXPECT_EQ(engine->stats().blocked, 0U);
  close(epoll);
}

TEST_P(UringTest, AnIdleChannelCanChangeItsThread) {
  const Sockets pair;
  for (int round = 0; round < 20; ++round) {
    std::thread other([&] {
      ASSERT_TRUE(channel->post(make_call(SYS_recvfrom, pair.reader(), buffer.data(), 1, 0, 0, 0),
                                token(1)));
      channel->submit();
      ASSERT_EQ(send(pair.writer(), "x", 1, 0), 1);
      EXPECT_EQ(drain(*channel).front().result, 1);
    });
    other.join();
  }
  EXPECT_EQ(call_through(*channel, make_call(SYS_getpgrp)), getpgrp());
}

TEST_P(UringTest, DescriptorsThatAreUsedAgainAreLookedAtAgain) {
  // A socket's number becomes a pipe's: reads and writes of it are not a socket's any more.
  for (int round = 0; round < 3; ++round) {
    const Pipe pipe;
    int number = -1;
    {
      const Sockets pair;
      number = pair.reader();
      ASSERT_EQ(call_through(*channel, make_call(SYS_write, number, "abc", 3)), 3);
      ASSERT_EQ(write(pair.writer(), "x", 1), 1);
      ASSERT_EQ(call_through(*channel, make_call(SYS_read, number, buffer.data(), 3)), 1);
    }
    ASSERT_EQ(dup2(pipe.writer(), number), number);
    EXPECT_EQ(call_through(*channel, make_call(SYS_write, number, "abc", 3)), 3);
    ASSERT_EQ(dup2(pipe.reader(), number), number);
    EXPECT_EQ(call_through(*channel, make_call(SYS_read, number, buffer.data(), 9)), 3);
    close(number);
  }
}

// --- without the promise -------------------------------------------------------------

class UringExactTest : public UringTest {};
INSTANTIATE_TEST_SUITE_P(, UringExactTest, testing::Values(Way::usual, Way::submission_thread),
                         [](const testing::TestParamInfo<Way>& info) {
                           return std::string(info.param == Way::usual ? "usual"
                                                                       : "submission_thread");
                         });

TEST_P(UringExactTest, NonBlockingDescriptorsDoNotWait) {
  const Sockets pair(SOCK_NONBLOCK);
  const Pipe pipe(O_NONBLOCK);
  sockaddr_storage name{};
  const iovec one{.iov_base = buffer.data(), .iov_len = 1};
  msghdr message{};
  const std::vector<Call> calls = {
      make_call(SYS_recvfrom, pair.reader(), buffer.data(), 1, 0, 0, 0),
      make_call(SYS_recvmsg, pair.reader(), &message, 0),
      make_call(SYS_read, pair.reader(), buffer.data(), 1),
      make_call(SYS_readv, pair.reader(), &one, 1),
      make_call(SYS_read, pipe.reader(), buffer.data(), 1),
      make_call(SYS_readv, pipe.reader(), &one, 1),
  };
  for (const Call& call : calls) EXPECT_EQ(call_through(*channel, call), -EAGAIN) << call.nr;

  const std::vector<char> much(std::size_t{4} << 20, 'm');
  const Call send = make_call(SYS_sendto, pair.reader(), much.data(), much.size(), 0, 0, 0);
  const long part = call_through(*channel, send);
  EXPECT_GT(part, 0);
  EXPECT_LT(part, static_cast<long>(much.size()));
  EXPECT_EQ(call_through(*channel, send), -EAGAIN);

  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  name.ss_family = AF_UNIX;
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&name), sizeof(sa_family_t)), 0);
  ASSERT_EQ(listen(listener, 1), 0);
  EXPECT_EQ(call_through(*channel, make_call(SYS_accept4, listener, 0, 0, 0)), -EAGAIN);
  close(listener);
}

TEST_P(UringExactTest, TimeLimitsOfSocketsHold) {
  const Sockets pair;
  pair.limit(SO_RCVTIMEO);
  pair.limit(SO_SNDTIMEO);
  EXPECT_EQ(
      call_through(*channel, make_call(SYS_recvfrom, pair.reader(), buffer.data(), 1, 0, 0, 0)),
      -EAGAIN);
  EXPECT_EQ(call_through(*channel, make_call(SYS_read, pair.reader(), buffer.data(), 1)), -EAGAIN);
  const std::vector<char> much(std::size_t{4} << 20, 'm');
  const Call send = make_call(SYS_sendto, pair.reader(), much.data(), much.size(), 0, 0, 0);
  const long part = call_through(*channel, send);
  EXPECT_GT(part, 0);
  EXPECT_LT(part, static_cast<long>(much.size()));
  EXPECT_EQ(call_through(*channel, send), -EAGAIN);
}

// --- no io_uring ---------------------------------------------------------------------

/// What `test` returns in a child process in which io_uring_setup fails with `error`.
int in_child_without(int error, int (*test)()) {
  const pid_t child = fork();
  if (child == 0) {
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{4, &filter[0]};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
      _exit(99);
    }
    _exit(test());
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(UringMissing, AFilterIsNotPassedBy) {
  EXPECT_EQ(in_child_without(EPERM,
                             [] {
                               const std::string why = detail::ring_missing();
                               if (why.find("under a seccomp filter") == std::string::npos)
                                 return 1;
                               EngineOptions options;
                               options.kind = EngineKind::uring;
                               try {
                                 static_cast<void>(Engine::open(options));
                                 return 2;
                               } catch (const std::system_error& error) {
                                 const std::string what = error.what();
                                 if (what.find("seccomp filter") == std::string::npos) return 3;
                               }
                               const EngineChoice choice = choose_engine();
                               if (choice.kind != EngineKind::threads) return 4;
                               if (choice.reason.find("not uring (") == std::string::npos) return 5;
                               options.kind = EngineKind::automatic;
                               return Engine::open(options)->kind() == EngineKind::threads ? 0 : 6;
                             }),
            0);
}

TEST(UringMissing, EveryErrorHasASentenceThatSaysWhatToDo) {
  for (const int error : {ENOSYS, EPERM, EINVAL, ENOMEM, EMFILE, EIO}) {
    const std::string sentence = detail::explain_ring(error);
    EXPECT_NE(sentence.find(": "), std::string::npos) << sentence;
  }
}

TEST(EngineChoice, IsTheBestThatIsThere) {
  const EngineChoice choice = choose_engine();
  EXPECT_EQ(missing(choice.kind), "");
  for (const EngineKind better : {EngineKind::kernel, EngineKind::uring}) {
    if (better == choice.kind) break;
    EXPECT_NE(missing(better), "") << to_string(better);
    EXPECT_NE(choice.reason.find(std::string(to_string(better))), std::string::npos);
  }
  EngineOptions options;
  options.kind = EngineKind::automatic;
  EXPECT_EQ(Engine::open(options)->kind(), choice.kind);
}

TEST(EngineChoice, IsTheFirstOfAListThatIsThere) {
  constexpr EngineKind direct_first[] = {EngineKind::direct, EngineKind::threads};
  EXPECT_EQ(choose_engine(direct_first).kind, EngineKind::direct);
  EXPECT_THROW(static_cast<void>(choose_engine({})), std::system_error);
}

TEST(UringDeathTest, NoThreadTakesCallsOfAnother) {
  if (const std::string why = missing(EngineKind::uring); !why.empty()) GTEST_SKIP() << why;
  // The engine is made in the child: it is of no use in one that is forked later.
  EXPECT_DEATH(
      {
        const Sockets pair;
        char byte = 0;
        EngineOptions options;
        options.kind = EngineKind::uring;
        const auto engine = Engine::open(options);
        const auto channel = engine->make_channel();
        static_cast<void>(
            channel->post(make_call(SYS_recvfrom, pair.reader(), &byte, 1, 0, 0, 0), token(1)));
        channel->submit();
        std::thread([&] { channel->wait(kForever); }).join();
      },
      "used by another thread with calls in flight");
}

}  // namespace
}  // namespace flexsc::test
