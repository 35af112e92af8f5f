// SPDX-License-Identifier: MIT
#include "ring.hpp"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <exception>
#include <fstream>
#include <system_error>
#include <thread>

#include "flexsc/call.hpp"
#include "usable_cpus.hpp"

namespace flexsc::detail {

namespace {

/// What the engine builds on. All of it is in Linux 6.1.
constexpr unsigned kFeatures = IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE |
                               IORING_FEAT_EXT_ARG | IORING_FEAT_FAST_POLL |
                               IORING_FEAT_NATIVE_WORKERS;

/// Threads are numbered, since neither their ids nor their addresses are theirs alone for ever.
std::uint64_t this_thread() noexcept {
  static std::atomic<std::uint64_t> last{0};
  // Relaxed: only the number counts.
  thread_local const std::uint64_t mine = last.fetch_add(1, std::memory_order_relaxed) + 1;
  return mine;
}

/// The administrator's switch: 1 forbids io_uring to those without CAP_SYS_ADMIN, 2 to all.
int disabled_by_sysctl() {
  int value = 0;
  std::ifstream("/proc/sys/kernel/io_uring_disabled") >> value;
  return value;
}

io_uring_params params_for(const RingOptions& options) {
  io_uring_params params{};
  params.flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
                 IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER;
  params.cq_entries = std::max(options.completions, options.entries);
  if (options.submission_thread) {
    params.flags |= IORING_SETUP_SQPOLL;
    params.sq_thread_idle = static_cast<unsigned>(options.submission_idle.count());
    if (!options.cpus.empty()) {
      params.flags |= IORING_SETUP_SQ_AFF;
      params.sq_thread_cpu = static_cast<unsigned>(options.cpus.front());
    }
  } else {
    params.flags |= IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
  }
  return params;
}

/// 0 or -errno.
int set_cpus(io_uring& ring, const std::vector<int>& cpus) {
  if (cpus.empty()) return 0;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(static_cast<std::size_t>(cpu), &set);
  return io_uring_register_iowq_aff(&ring, sizeof set, &set);
}

/// What is wrong if 0 or -errno is an error.
void check(long error) {
  if (error >= 0) return;
  const int code = static_cast<int>(-error);
  throw std::system_error(code, std::generic_category(), explain_ring(code));
}

}  // namespace

std::string explain_ring(int error) {
  switch (error) {
    case ENOSYS:
      return "the kernel has no io_uring: boot one that is built with CONFIG_IO_URING";
    case EPERM:
    case EACCES:
      return disabled_by_sysctl() != 0
                 ? "io_uring is disabled here: set `sysctl kernel.io_uring_disabled=0`"
                 : "io_uring is forbidden to this process by a security module: change its rules";
    case EINVAL:
    case EOPNOTSUPP:
      return "this kernel's io_uring is too old: boot Linux 6.1 or later";
    case ENOMEM:
      return "making an io_uring failed for want of memory: raise the memory limit of the cgroup, "
             "or `ulimit -l`";
    case EMFILE:
    case ENFILE:
      return "no file descriptor is left to make an io_uring: raise `ulimit -n`";
    default:
      return "making an io_uring failed (" + std::generic_category().message(error) +
             "): see the kernel's log (`dmesg`)";
  }
}

RingOperations::RingOperations(io_uring& ring) {
  io_uring_probe* const probe = io_uring_get_probe_ring(&ring);
  if (probe == nullptr) {
    throw std::system_error(EINVAL, std::generic_category(), explain_ring(EINVAL));
  }
  for (unsigned i = 0; i < known_.size(); ++i) {
    known_[i] = io_uring_opcode_supported(probe, static_cast<int>(i)) != 0;
  }
  io_uring_free_probe(probe);
}

Ring::Ring(const RingOptions& options) : options_(options) {
  open_apart();
}

Ring::~Ring() {
  close();
}

/// When a ring ends, the kernel interrupts each thread that had to do with it, at some time after:
/// a call of that thread can return EINTR. So it is made in a thread that is gone by then.
void Ring::open_apart() {
  std::exception_ptr failure;
  std::thread([&] {
    try {
      open();
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure) std::rethrow_exception(failure);
}

/// A ring may get the memory that another thread's had. munmap() and mmap() order the two, which
/// ThreadSanitizer does not see, as liburing makes these calls by itself; this tells it.
/// Incremented with release before a ring's memory goes, acquired after a ring's memory has come.
static std::atomic<unsigned> rings_closed{0};

void Ring::open() {
  io_uring_params params = params_for(options_);
  const int error = io_uring_queue_init_params(options_.entries, &ring_, &params);
  if (error < 0) {
    throw std::system_error(-error, std::generic_category(), explain_ring(-error));
  }
  static_cast<void>(rings_closed.load(std::memory_order_acquire));
  try {
    if ((params.features & kFeatures) != kFeatures) {
      throw std::system_error(EOPNOTSUPP, std::generic_category(), explain_ring(EOPNOTSUPP));
    }
    // A child of fork() has no use for it, and must not write to it.
    const int kept = io_uring_ring_dontfork(&ring_);
    if (kept < 0) throw std::system_error(-kept, std::generic_category(), explain_ring(-kept));
    operations_ = std::make_unique<RingOperations>(ring_);
  } catch (...) {
    close();
    throw;
  }
}

void Ring::close() noexcept {
  if (fork_.in_child()) {
    // Its memory is not there.
    execute(make_call(SYS_close, ring_.ring_fd));
  } else {
    rings_closed.fetch_add(1, std::memory_order_release);
    io_uring_queue_exit(&ring_);
  }
  owner_ = 0;
}

bool Ring::bind(bool busy) {
  const std::uint64_t self = this_thread();
  if (owner_ == self) [[likely]]
    return false;
  if (owner_ != 0) {
    if (busy) {
      fatal(
          "a channel of engine uring was used by another thread with calls in flight; the "
          "kernel ties these to the thread that made them");
    }
    close();
    open_apart();
  }
  enable();
  owner_ = self;
  return true;
}

/// For the calling thread.
void Ring::enable() {
  // Debian's liburing 2.3 declares io_uring_enable_rings() and does not export it.
  check(execute(
      make_call(SYS_io_uring_register, ring_.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0)));
  // What a thread has of io_uring, its workers among it, is made with its first submission; before
  // that there is nothing to be bound. So here is one, of nothing.
  if (!options_.submission_thread) {
    check(execute(make_call(SYS_io_uring_enter, ring_.ring_fd, 1, 0, 0, nullptr, 0)));
  }
  const int error = set_cpus(ring_, options_.cpus);
  has_its_cpus_ = error == 0;
  // EINVAL: the CPUs could be used when the engine was made, and have been taken from the process
  // since. Then its threads go where they still may, like all that were bound to such a CPU.
  if (error != -EINVAL) check(error);
}

io_uring_sqe& Ring::next(unsigned room) {
  while (io_uring_sq_space_left(&ring_) < room) {
    submit();
    if (options_.submission_thread) io_uring_sqring_wait(&ring_);
  }
  io_uring_sqe* const sqe = io_uring_get_sqe(&ring_);
  *sqe = io_uring_sqe{};
  return *sqe;
}

void Ring::submit() {
  ++crossings_;
  // -EBUSY, -EAGAIN: the kernel could not take all of it now; it stays and goes with the next.
  static_cast<void>(io_uring_submit_and_get_events(&ring_));
}

long Ring::wait(std::chrono::nanoseconds timeout) {
  ++crossings_;
  io_uring_cqe* cqe = nullptr;
  long result = 0;
  if (timeout.count() < 0) {
    result = io_uring_submit_and_wait(&ring_, 1);
  } else {
    __kernel_timespec span{};
    span.tv_sec = timeout.count() / 1'000'000'000;
    span.tv_nsec = timeout.count() % 1'000'000'000;
    result = io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &span, nullptr);
  }
  if (result == -ETIME || io_uring_cq_ready(&ring_) != 0) return result == -ETIME ? result : 0;
  // Whoever was interrupted, or late, after having handed something over is told of that alone.
  return result == -EBUSY || result == -EAGAIN ? 0 : -EINTR;
}

void Ring::look() {
  // Written by the kernel. relaxed: a hint; what is set after this is seen at the next look or by
  // wait().
  const unsigned flags = __atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED);
  if ((flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) == 0) return;
  ++crossings_;
  static_cast<void>(io_uring_get_events(&ring_));
}

std::string ring_missing(const RingOptions& options) {
  // A filter does not see operations: what it forbids would be done.
  if (execute(make_call(SYS_prctl, PR_GET_SECCOMP, 0, 0, 0, 0)) > 0) {
    return "this process is under a seccomp filter, which io_uring would pass by: run it without, "
           "or use engine threads";
  }
  std::string why;
  // In a thread that is gone by the end of the ring's end, see open_apart().
  std::thread([&] {
    try {
      Ring ring(options);
      static_cast<void>(ring.bind(false));
      // Linux before 6.6 has no way to bind those of a submission thread.
      if (!ring.has_its_cpus() && !options.submission_thread) why = kNoUsableCpu;
    } catch (const std::system_error& error) {
      // what() ends with the text of the code, which the sentence has said already.
      why = explain_ring(error.code().value());
    }
  }).join();
  return why;
}

std::string ring_missing() {
  return ring_missing({.entries = 4, .completions = 8, .cpus = {}});
}

}  // namespace flexsc::detail
