// SPDX-License-Identifier: MIT
// What the kernel has this thread do in between (an io_uring of the same program, say) interrupts a
// call as a signal does, but runs no handler: a direct call goes on by itself, and so does a
// flushed one.
#include <linux/io_uring.h>
#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "process.hpp"

namespace flexsc_guest {
namespace {

/// An io_uring of the calling thread that watches a pipe: each byte in it is work for that thread.
class Nuisance {
 public:
  Nuisance() : pipe_(make_pipe()) {
    io_uring_params params{};
    ring_ = Fd(static_cast<int>(::syscall(SYS_io_uring_setup, kEntries, &params)));
    if (ring_.get() < 0) throw Failure("io_uring_setup");
    char* const rings =
        map(params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe), IORING_OFF_SQ_RING);
    auto* const sqe =
        reinterpret_cast<io_uring_sqe*>(map(kEntries * sizeof(io_uring_sqe), IORING_OFF_SQES));
    *sqe = {};
    sqe->opcode = IORING_OP_POLL_ADD;
    sqe->fd = pipe_.reader.get();
    sqe->len = IORING_POLL_ADD_MULTI;
    sqe->poll32_events = 1;  // POLLIN
    reinterpret_cast<unsigned*>(rings + params.sq_off.array)[0] = 0;
    std::atomic_ref(*reinterpret_cast<unsigned*>(rings + params.sq_off.tail)).store(1);
    done_ = reinterpret_cast<unsigned*>(rings + params.cq_off.tail);
    if (::syscall(SYS_io_uring_enter, ring_.get(), 1, 0, 0, nullptr, 0) != 1) {
      throw Failure("io_uring_enter");
    }
  }

  /// By another thread: interrupts that thread, and returns when it has done its work.
  void interrupt() const {
    const unsigned before = done();
    put(pipe_.writer, "x");
    REQUIRE(eventually([&] { return done() != before; }));
  }

 private:
  static constexpr unsigned kEntries = 32;

  char* map(std::size_t bytes, unsigned long what) const {
    void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                                ring_.get(), static_cast<off_t>(what));
    if (memory == MAP_FAILED) throw Failure("mmap of a ring");
    return static_cast<char*>(memory);
  }
  [[nodiscard]] unsigned done() const { return std::atomic_ref(*done_).load(); }

  Pipe pipe_;
  Fd ring_;
  unsigned* done_ = nullptr;
};

class TaskWork : public GuestTest {};

/// Made within a test, which is skipped where there is no module.
struct Scene {
  /// In another thread: what disturbs a flush of the calling one, once that sleeps in it.
  template <class Do>
  static std::jthread when_asleep(Do what) {
    return std::jthread([tid = ::gettid(), what] {
      const auto sleeps = [tid] {
        const std::string stat = read_file("/proc/self/task/" + std::to_string(tid) + "/stat");
        return stat[stat.rfind(") ") + 2] == 'S';
      };
      if (eventually(sleeps)) what();
    });
  }

  Group group;
  Client client{group};
  Nuisance nuisance;
  Pipe pipe = make_pipe();
  char byte = 0;
};

TEST_F(TaskWork, AFlushedCallThatWaitsGoesOn) {
  Scene scene;
  const auto other = Scene::when_asleep([&scene] {
    for (int i = 0; i < 3; ++i) scene.nuisance.interrupt();
    put(scene.pipe.writer, "y");
  });
  EXPECT_EQ(scene.client.run_flushed(call(SYS_read, scene.pipe.reader.get(), &scene.byte, 1)), 1);
  EXPECT_EQ(scene.byte, 'y');
}

// It must not begin anew: the rest of the time is what it waits for.
TEST_F(TaskWork, AFlushedSleepGoesOnForItsRest) {
  Scene scene;
  const auto other = Scene::when_asleep([&scene] {
    for (int i = 0; i < 3; ++i) scene.nuisance.interrupt();
  });
  const timespec time{0, 200'000'000};
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(scene.client.run_flushed(call(SYS_nanosleep, &time, nullptr)), 0);
  EXPECT_GE(std::chrono::steady_clock::now() - begun, 200ms);
}

TEST_F(TaskWork, AFlushedChainGoesOnBetweenItsRounds) {
  Scene scene;
  const auto other = Scene::when_asleep([&scene] {
    for (int i = 0; i < 5; ++i) {
      put(scene.pipe.writer, "z");
      scene.nuisance.interrupt();
    }
    scene.pipe.writer.reset();
  });
  const std::array chain{
      call(SYS_read, scene.pipe.reader.get(), &scene.byte, 1)
          .with(FLEXSC_ENTRY_REPEAT | FLEXSC_ENTRY_END_ON_ZERO | FLEXSC_ENTRY_SUM)};
  scene.client.submit(0, scene.client.fill_chain(0, 0, chain), FLEXSC_QUEUE_FLUSH);
  EXPECT_EQ(scene.client.flush(), 1);
  EXPECT_EQ(scene.client.take(0, 0), 5);
}

// The same flag carries a deadline to a flushed chain: that is not lost to it.
TEST_F(TaskWork, ADeadlineStillEndsAFlushedCall) {
  Scene scene;
  const auto other = Scene::when_asleep([&scene] {
    for (int i = 0; i < 3; ++i) scene.nuisance.interrupt();
  });
  const std::array chain{
      call(SYS_read, scene.pipe.reader.get(), &scene.byte, 1).until(from_now(100ms))};
  scene.client.submit(0, scene.client.fill_chain(0, 0, chain), FLEXSC_QUEUE_FLUSH);
  EXPECT_EQ(scene.client.flush(), 1);
  EXPECT_EQ(scene.client.take(0, 0), -ETIME);
}

}  // namespace
}  // namespace flexsc_guest
