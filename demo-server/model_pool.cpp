// SPDX-License-Identifier: MIT
// A fixed number of threads. A connection that waits for its next request sits in an
// epoll set; the thread that is told of input serves what has arrived.
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "connection.hpp"
#include "flexsc/posix.hpp"
#include "model.hpp"

namespace flexsc::http {

namespace {

using Clock = std::chrono::steady_clock;

/// A connection and since when it has been idle.
struct Pooled {
  Pooled(Service& service, OwnedFd socket) : connection(service, std::move(socket)) {}
  Connection connection;
  /// When it was last put into the epoll set; kBusy while a thread has it. Written by that thread:
  /// it releases the connection with it, to the next one, see serve(). sweep() reads it relaxed.
  static constexpr Clock::rep kBusy = 0;
  std::atomic<Clock::rep> idle_since{kBusy};
};

class PoolModel final : public Model {
 public:
  PoolModel(Service& service, std::size_t threads)
      : service_(service),
        listener_(service.options(), Waits::nonblocking),
        threads_(threads),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (epoll_.get() < 0 || wake_.get() < 0) {
      throw std::system_error(errno, std::generic_category(), "epoll or eventfd");
    }
    watch(EPOLL_CTL_ADD, wake_.get(), EPOLLIN, &wake_);
    watch(EPOLL_CTL_ADD, listener_.fd(), EPOLLIN | EPOLLONESHOT, &listener_);
  }

  [[nodiscard]] std::uint16_t port() const noexcept override { return listener_.port(); }

  void run() override {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < threads_; ++i) {
      threads.emplace_back([this] { work(); });
    }
    while (!drained_.load()) {
      drained_.wait(false);
    }
    // Never read, so it stays ready and every thread sees it.
    (void)::eventfd_write(wake_.get(), 1);
    threads.clear();  // joins
    // A client that was accepted in the very moment of stop() may be left.
    for (Pooled* pooled : std::exchange(all_, {})) delete pooled;
  }

  void stop() override {
    service_.stop();
    listener_.stop();
    check_drained();
  }

  [[nodiscard]] ModelStats stats() const override {
    return {.crossings = flexsc::direct_crossings(), .runtime = {}, .engine = {}};
  }

 private:
  bool watch(int operation, int fd, std::uint32_t events, void* tag) const {
    epoll_event event{.events = events, .data = {.ptr = tag}};
    return flexsc::syscall(SYS_epoll_ctl, epoll_.get(), operation, fd,
                           reinterpret_cast<long>(&event)) == 0;
  }

  void work() {
    constexpr int kSweepMs = 1000;
    for (;;) {
      epoll_event event{};
      const long got = flexsc::syscall(SYS_epoll_wait, epoll_.get(), reinterpret_cast<long>(&event),
                                       1, kSweepMs);
      if (got <= 0) {
        sweep();
      } else if (event.data.ptr == &wake_) {
        return;
      } else if (event.data.ptr == &listener_) {
        take_connections();
      } else {
        serve(static_cast<Pooled*>(event.data.ptr));
      }
    }
  }

  void take_connections() {
    for (;;) {
      Accepted accepted = accept_connection(listener_, SOCK_CLOEXEC);
      if (accepted.what == Accepted::What::stopped) return;
      if (accepted.what == Accepted::What::exhausted) this_fiber::sleep_for(kAcceptBackoff);
      if (accepted.what != Accepted::What::connection) break;
      auto pooled = std::make_unique<Pooled>(service_, std::move(accepted.socket));
      {
        const std::lock_guard lock(mutex_);
        all_.insert(pooled.get());
      }
      Pooled* raw = pooled.release();  // from here on owned by whoever is told of input
      wait_for_input(raw, EPOLL_CTL_ADD);
    }
    watch(EPOLL_CTL_MOD, listener_.fd(), EPOLLIN | EPOLLONESHOT, &listener_);
  }

  void serve(Pooled* pooled) {
    // Pairs with the store in wait_for_input(): whatever the last thread did with the
    // connection is done. That the kernel has carried the pointer from there to here is
    // order enough for the CPU, but nothing that C++ knows of.
    (void)pooled->idle_since.load(std::memory_order_acquire);
    pooled->idle_since.store(Pooled::kBusy, std::memory_order_relaxed);
    do {
      if (!pooled->connection.serve_one()) return end(pooled);
    } while (pooled->connection.has_input());
    wait_for_input(pooled, EPOLL_CTL_MOD);
  }

  void wait_for_input(Pooled* pooled, int operation) {
    const int fd = pooled->connection.fd();
    pooled->idle_since.store(Clock::now().time_since_epoch().count(), std::memory_order_release);
    // Once watched, another thread may serve and even delete it: no use of it after this.
    if (!watch(operation, fd, EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, pooled)) {
      end(pooled);
    }
  }

  void end(Pooled* pooled) {
    {
      const std::lock_guard lock(mutex_);
      all_.erase(pooled);
    }
    delete pooled;
    check_drained();
  }

  /// After each end of a connection, and after stop(): of the last end and of stop(), whichever
  /// took the service's lock later sees both.
  void check_drained() {
    if (!service_.stopping() || service_.open_connections() != 0) return;
    drained_.store(true);
    drained_.notify_all();
  }

  /// Ends connections that have been idle for too long. Ending is left to the thread
  /// that is then told of input, so nothing is deleted here.
  void sweep() {
    const auto oldest = (Clock::now() - service_.options().idle_timeout).time_since_epoch().count();
    const std::lock_guard lock(mutex_);
    for (Pooled* pooled : all_) {
      const auto since = pooled->idle_since.load(std::memory_order_relaxed);
      if (since != Pooled::kBusy && since < oldest) {
        (void)flexsc::shutdown(pooled->connection.fd(), SHUT_RD);
      }
    }
  }

  Service& service_;
  Listener listener_;
  std::size_t threads_;
  OwnedFd epoll_;
  OwnedFd wake_;
  std::atomic<bool> drained_{false};  // set once, for run(); seq_cst, as it costs nothing there
  std::mutex mutex_;                  // guards all_; an entry is in it exactly as long as it exists
  std::unordered_set<Pooled*> all_;
};

}  // namespace

std::unique_ptr<Model> make_pool_model(Service& service, std::size_t threads) {
  return std::make_unique<PoolModel>(service, threads);
}

}  // namespace flexsc::http
