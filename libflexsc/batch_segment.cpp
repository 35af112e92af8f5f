// SPDX-License-Identifier: MIT
#include "flexsc/batch.hpp"

#include <limits.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>
#include <memory_resource>
#include <new>
#include <optional>
#include <system_error>
#include <vector>

namespace flexsc {

namespace {

/// Linux transfers no more at once (MAX_RW_COUNT), so no more can be promised.
constexpr std::uint64_t kMostBytes = 0x7ffff000;

/// What an argument of a call points to.
template <class T>
const T* pointed_to(std::uint64_t argument) noexcept {
  return reinterpret_cast<const T*>(argument);  // NOLINT(performance-no-int-to-ptr)
}

/// A call that can be deferred: what its caller passed, what will be made, and what the
/// caller is told.
struct Deferred {
  Call given;
  Call made;
  long promised = 0;
};

/// The segment of one thread. The batch is kept from one segment to the next.
class Segment {
 public:
  [[nodiscard]] int start(Engine& engine);
  [[nodiscard]] BatchResult flush();
  [[nodiscard]] bool record(const Call& call, long& promised);
  [[nodiscard]] bool open() const noexcept { return open_; }
  [[nodiscard]] std::uint64_t crossings() const noexcept { return crossings_; }

 private:
  void flush_recorded();
  [[nodiscard]] std::optional<Deferred> defer(const Call& call);
  [[nodiscard]] bool defer_vector(const iovec* vector, std::uint64_t count, Deferred& deferred,
                                  void*& copied);
  [[nodiscard]] bool defer_message(Deferred& deferred);
  [[nodiscard]] void* copy(const void* from, std::size_t bytes);

  std::unique_ptr<Batch> batch_;
  std::uint64_t engine_serial_ = 0;  ///< whose batch_ is
  bool open_ = false;
  std::vector<Deferred> recorded_;              ///< by place in the batch
  std::pmr::monotonic_buffer_resource copies_;  ///< of vectors and headers, until the flush
  std::vector<BatchFailure> failures_;
  std::size_t executed_ = 0;
  std::uint64_t crossings_ = 0;
};

int Segment::start(Engine& engine) {
  if (open_) return EBUSY;
  try {
    if (engine_serial_ != engine.serial()) {
      batch_.reset();
      engine_serial_ = 0;
      batch_ = engine.make_batch();
      engine_serial_ = engine.serial();
    }
  } catch (const std::system_error& error) {
    return error.code().value();
  } catch (const std::bad_alloc&) {
    return ENOMEM;
  }
  failures_.clear();
  executed_ = 0;
  open_ = true;
  return 0;
}

BatchResult Segment::flush() {
  if (!open_) return {};
  flush_recorded();
  open_ = false;
  return {executed_, failures_};
}

bool Segment::record(const Call& call, long& promised) {
  if (!open_) return false;
  const std::optional<Deferred> deferred = defer(call);
  if (!deferred) {
    flush_recorded();
    return false;
  }
  recorded_.push_back(*deferred);
  if (!batch_->add(deferred->made)) {
    recorded_.pop_back();
    flush_recorded();
    return record(call, promised);
  }
  promised = deferred->promised;
  return true;
}

void Segment::flush_recorded() {
  if (batch_->size() == 0) return;
  const std::uint64_t before = batch_->crossings();
  const std::span<const FlushedCall> flushed = batch_->flush();
  crossings_ += batch_->crossings() - before;
  executed_ += flushed.size();
  for (std::size_t i = 0; i < flushed.size(); ++i) {
    const Deferred& each = recorded_[i];
    if (flushed[i].result < each.promised) {
      failures_.push_back({each.given, each.promised, flushed[i].result});
    }
  }
  recorded_.clear();
  copies_.release();
}

void* Segment::copy(const void* from, std::size_t bytes) {
  if (from == nullptr || bytes == 0) return nullptr;
  void* to = copies_.allocate(bytes, alignof(std::max_align_t));
  std::memcpy(to, from, bytes);
  return to;
}

/// Copies a vector and promises its bytes. False: the call may fail at once or transfer
/// less, so it must not be promised anything.
bool Segment::defer_vector(const iovec* vector, std::uint64_t count, Deferred& deferred,
                           void*& copied) {
  if (count > IOV_MAX || (vector == nullptr && count != 0)) return false;
  std::uint64_t bytes = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (vector[i].iov_len > kMostBytes - bytes) return false;
    bytes += vector[i].iov_len;
  }
  deferred.promised = static_cast<long>(bytes);
  copied = copy(vector, count * sizeof *vector);
  return true;
}

bool Segment::defer_message(Deferred& deferred) {
  const auto* given = pointed_to<msghdr>(deferred.given.args[1]);
  if (given == nullptr) return false;
  msghdr header = *given;
  void* vector = nullptr;
  if (!defer_vector(given->msg_iov, given->msg_iovlen, deferred, vector)) return false;
  header.msg_iov = static_cast<iovec*>(vector);
  header.msg_name = copy(given->msg_name, given->msg_namelen);
  header.msg_control = copy(given->msg_control, given->msg_controllen);
  deferred.made.args[1] = reinterpret_cast<std::uint64_t>(copy(&header, sizeof header));
  return true;
}

std::optional<Deferred> Segment::defer(const Call& call) {
  Deferred deferred{call, call, 0};
  const auto& a = call.args;
  const auto if_possible = [&](std::uint64_t bytes) -> std::optional<Deferred> {
    if (bytes > kMostBytes) return std::nullopt;
    deferred.promised = static_cast<long>(bytes);
    return deferred;
  };
  switch (call.nr) {
    case SYS_close:
    case SYS_shutdown:
      return deferred;
    case SYS_write:
      return if_possible(a[2]);
    case SYS_sendto:
      if (a[4] != 0) return std::nullopt;
      return if_possible(a[2]);
    case SYS_sendfile:
      if (a[2] != 0) return std::nullopt;
      return if_possible(a[3]);
    case SYS_writev: {
      void* vector = nullptr;
      if (!defer_vector(pointed_to<iovec>(a[1]), a[2], deferred, vector)) return std::nullopt;
      deferred.made.args[1] = reinterpret_cast<std::uint64_t>(vector);
      return deferred;
    }
    case SYS_sendmsg:
      if (!defer_message(deferred)) return std::nullopt;
      return deferred;
    default:
      return std::nullopt;
  }
}

thread_local Segment segment;

}  // namespace

int batch_start(Engine& engine) {
  return segment.start(engine);
}
BatchResult batch_flush() {
  return segment.flush();
}
bool in_batch() noexcept {
  return segment.open();
}
bool batch_record(const Call& call, long& promised) {
  return segment.record(call, promised);
}
std::uint64_t batch_crossings() noexcept {
  return segment.crossings();
}

}  // namespace flexsc
