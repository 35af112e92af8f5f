// SPDX-License-Identifier: MIT
#include "uring.hpp"

#include <stdexcept>
#include <string>

#include "device.hpp"
#include "patience.hpp"
#include "program.hpp"

namespace flexsc::bench {

namespace {

void set_up(io_uring& ring, unsigned entries, io_uring_params& parameters) {
  const int error = ::io_uring_queue_init_params(entries, &ring, &parameters);
  if (error < 0) fail("io_uring_queue_init_params", -error);
}

}  // namespace

Ring::Ring(unsigned entries) : polled_(false) {
  io_uring_params parameters{};
  set_up(ring_, entries, parameters);
}

Ring::Ring(unsigned entries, unsigned cpu) : polled_(true) {
  io_uring_params parameters{};
  parameters.flags = IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF;
  parameters.sq_thread_cpu = cpu;
  parameters.sq_thread_idle = 1000;
  set_up(ring_, entries, parameters);
}

double Ring::batches(unsigned size, unsigned calls) {
  const unsigned count = (calls + size - 1) / size;
  long sum = 0;
  const double time = timed([&] {
    for (unsigned i = 0; i < count; ++i) sum += batch(size);
  });
  // Each no-op is completed with what it carries, 1.
  if (sum != long{count} * size) {
    throw std::runtime_error("io_uring: a batch of " + std::to_string(size) + " went wrong");
  }
  return time / (count * size);
}

/// Returns the sum of what the completions carry, or what did not work.
long Ring::batch(unsigned size) {
  for (unsigned i = 0; i < size; ++i) {
    io_uring_sqe* const entry = ::io_uring_get_sqe(&ring_);
    if (entry == nullptr) return -1;
    ::io_uring_prep_nop(entry);
    entry->user_data = 1;
  }
  if (polled_) {
    if (::io_uring_submit(&ring_) < 0) return -1;
    double begun = 0;
    // No pause, as in our own polling, see other_core.cpp.
    for (unsigned i = 1; ::io_uring_cq_ready(&ring_) < size; ++i) {
      if (i % kLooks != 0) continue;
      if (begun == 0) begun = now();
      if (now() - begun > kPatience) return -1;
    }
  } else if (::io_uring_submit_and_wait(&ring_, size) < 0) {
    return -1;
  }
  long sum = 0;
  unsigned head = 0;
  unsigned seen = 0;
  io_uring_cqe* completion = nullptr;
  io_uring_for_each_cqe(&ring_, head, completion) {
    sum += completion->res == 0 ? static_cast<long>(completion->user_data) : 0;
    ++seen;
  }
  ::io_uring_cq_advance(&ring_, seen);
  return sum;
}

}  // namespace flexsc::bench
