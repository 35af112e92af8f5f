// SPDX-License-Identifier: MIT
#include "play.hpp"

#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <future>
#include <mutex>
#include <thread>

#include "cell.hpp"
#include "kit.hpp"
#include "player.hpp"

namespace flexsc_fuzz {
namespace {

/// How an input begins and ends: the bits of its first byte.
enum Frame : unsigned {
  kNothingMade = 1,  // it makes its group, pool and client itself
  kCloses = 2,       // at its end it closes everything
  kOwnerLeaves = 4,  // at its end the thread that owns the groups leaves first
  kTwoPools = 8,
};

/// The other thread, which does what the first one hands to it.
constexpr std::chrono::milliseconds kGlance{2};

class Company {
 public:
  Company(World& world, const Coverage& coverage, int program)
      : world_(world), player_(world, program, nullptr), coverage_(coverage) {}

  void add(std::span<const std::uint8_t> bytes) {
    const std::lock_guard lock(mutex_);
    work_.push_back(bytes);
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
    changed_.notify_one();
  }

  /// When World::over is set: returns when it has done what there is.
  void join() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  void run() {
    coverage_.follow(Lane::kCompany);
    std::unique_lock lock(mutex_);
    while (!world_.over || !work_.empty()) {
      // Who sets over may be anywhere: it is looked at now and then.
      changed_.wait_for(lock, kGlance, [this] { return !work_.empty(); });
      if (work_.empty()) continue;
      const auto bytes = work_.front();
      work_.pop_front();
      lock.unlock();
      player_.play(Bytes(bytes));
      lock.lock();
    }
  }

  World& world_;
  Player player_;
  const Coverage& coverage_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::span<const std::uint8_t>> work_;
  std::thread thread_;
};

/// Signals that interrupt: whatever waits goes on after a while.
void interrupt_often() {
  struct sigaction action {};
  action.sa_handler = [](int) {};  // no SA_RESTART
  ::sigaction(SIGALRM, &action, nullptr);
  for (const int signal : {SIGPIPE, SIGXFSZ, SIGUSR1, SIGUSR2, SIGIO}) {
    ::sigaction(signal, &action, nullptr);
  }
  constexpr itimerval kOften{{0, 40'000}, {0, 40'000}};
  ::setitimer(ITIMER_REAL, &kOften, nullptr);
}

/// A thread that receives what workers reach, nearly as long as the process lives.
void follow_workers(World& world, const Coverage& coverage) {
  if (!coverage.available()) return;
  std::promise<void> followed;
  std::thread([&world, &coverage, &followed] {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    coverage.follow_workers();
    followed.set_value();
    while (!world.over) ::usleep(2000);
    ::usleep(1000);
  }).detach();
  followed.get_future().wait();
}

void make_pool(int group) {
  constexpr flexsc_guest::PoolChange kSmall{.concurrency = 1, .standby_max = 4, .spin_us = 20};
  const flexsc_pool_params params = flexsc_guest::pool_params(kSmall);
  REQUIRE(flexsc_guest::control(group, FLEXSC_IOC_POOL_CREATE, &params) >= 0);
}

}  // namespace

void play(std::span<const std::uint8_t> input, const Coverage& coverage, int program) {
  Bytes in(input);
  const unsigned frame = in.u8();
  // What the other thread uses outlives this one.
  auto& world = *new World;
  auto& company = *new Company(world, coverage, program);
  Player player(world, program,
                [&company](std::span<const std::uint8_t> bytes) { company.add(bytes); });
  catch_faults();

  if ((frame & kNothingMade) == 0) {
    // A group that cannot be had is a limit that somebody used up: something was left.
    const int group = coverage.open_followed(kDeviceInCell);
    REQUIRE(group >= 0);
    player.open_group(0, group);
    follow_workers(world, coverage);
    coverage.follow(Lane::kMain);
    make_pool(group);
    if ((frame & kTwoPools) != 0) make_pool(group);
    player.create_client(0, group, 2);
    REQUIRE(world.clients[0].base != nullptr);
  } else {
    coverage.follow(Lane::kMain);
  }
  interrupt_often();
  player.play(in);

  // Time for workers to finish.
  ::usleep(1000);
  world.over = true;
  if ((frame & kOwnerLeaves) != 0) flexsc_guest::direct(SYS_exit, 0);
  company.join();
  if ((frame & kCloses) != 0) {
    for (auto& client : world.clients) ::close(client.fd);
    for (auto& group : world.groups) ::close(group);
    ::usleep(500);
  }
  ::_exit(0);
}

}  // namespace flexsc_fuzz
