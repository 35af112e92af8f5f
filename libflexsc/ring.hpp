// SPDX-License-Identifier: MIT
/// @file
/// An io_uring of one thread.
#pragma once

#include <liburing.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fork_guard.hpp"

namespace flexsc::detail {

struct RingOptions {
  unsigned entries = 256;      ///< operations handed over at a time
  unsigned completions = 512;  ///< operations in flight
  /// A kernel thread takes what is posted (SQPOLL), so that handing over needs no crossing.
  bool submission_thread = false;
  std::chrono::milliseconds submission_idle{1};  ///< ... and sleeps after so long without work
  /// CPUs of the threads that the kernel makes for what would block; the first one is the
  /// submission thread's. Empty: any. With a submission thread, Linux before 6.6 binds that alone.
  std::vector<int> cpus;
};

/// Which operations the running kernel has.
class RingOperations {
 public:
  explicit RingOperations(io_uring& ring);
  [[nodiscard]] bool has(unsigned operation) const noexcept {
    return operation < known_.size() && known_[operation];
  }

 private:
  std::array<bool, 256> known_{};
};

/// Owns a ring. Requests belong to the thread that made them: the kernel lets one thread submit
/// (IORING_SETUP_SINGLE_ISSUER) and completes only when that thread looks (DEFER_TASKRUN), which
/// is what saves interrupting it. That thread is the one that uses the ring first; another can take
/// over while nothing is in flight.
class Ring {
 public:
  /// @throws std::system_error whose what() says what is missing and what to do.
  explicit Ring(const RingOptions& options);
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring();

  [[nodiscard]] const RingOperations& operations() const noexcept { return *operations_; }

  /// Before anything else: makes the calling thread the one that uses the ring. True if the ring
  /// is new to it, so that nothing is in flight. `busy`: something is; then no other thread may
  /// come (the process ends with a message).
  /// @throws std::system_error
  [[nodiscard]] bool bind(bool busy);
  /// Whether the CPUs of the options are those of its threads, if any are named. Known after
  /// bind().
  [[nodiscard]] bool has_its_cpus() const noexcept { return has_its_cpus_; }

  /// A cleared entry for an operation, to be filled; with `room`, so many can be had without a
  /// submission in between.
  [[nodiscard]] io_uring_sqe& next(unsigned room = 1);
  /// Entries that the kernel has not been given.
  [[nodiscard]] bool unsubmitted() const noexcept { return io_uring_sq_ready(&ring_) != 0; }
  /// Hands over what there is, and completes what is ready. Does not wait.
  void submit();
  /// The same, then waits for a completion; negative: for ever. 0, or -ETIME or -EINTR.
  [[nodiscard]] long wait(std::chrono::nanoseconds timeout);
  /// Completes what is ready, if the kernel says that something is.
  void look();

  /// Calls visit(user data, result, more) for each completion that is there; `more`: the
  /// operation goes on.
  template <class Visit>
  void take(Visit visit) {
    unsigned head = 0;
    unsigned count = 0;
    io_uring_cqe* cqe = nullptr;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      visit(cqe->user_data, std::int64_t{cqe->res}, (cqe->flags & IORING_CQE_F_MORE) != 0);
      ++count;
    }
    io_uring_cq_advance(&ring_, count);
  }

  /// Entries into the kernel.
  [[nodiscard]] std::uint64_t crossings() const noexcept { return crossings_; }

 private:
  void open();
  void open_apart();
  void enable();
  void close() noexcept;

  const RingOptions options_;
  io_uring ring_{};
  std::unique_ptr<RingOperations> operations_;
  std::uint64_t owner_ = 0;  ///< number of the thread that uses it; 0: none yet
  std::uint64_t crossings_ = 0;
  bool has_its_cpus_ = true;
  ForkGuard fork_;
};

/// The sentence for an errno of making a ring.
[[nodiscard]] std::string explain_ring(int error);
/// Whether such rings can be had here: empty, or a sentence that says why not and what to do. Makes
/// one as a carrier will, and ends it.
[[nodiscard]] std::string ring_missing(const RingOptions& options);
/// The same of a small one that is not particular.
[[nodiscard]] std::string ring_missing();

}  // namespace flexsc::detail
