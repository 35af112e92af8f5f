// SPDX-License-Identifier: MIT
// Sixty writes one after the other, as dBatch measured them: directly, by one flush, as one chain,
// and by io_uring: with each linked to the next, so that they keep their order, and without.
#include <fcntl.h>
#include <liburing.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <vector>

#include "device.hpp"
#include "measurements.hpp"

namespace flexsc::bench {

using nlohmann::json;

namespace {

constexpr unsigned kWrites = 60;
constexpr unsigned kTimes = 64;  // that a sample writes all of them
constexpr unsigned kWriteSamples = 15;
constexpr unsigned kQuickWriteSamples = 2;
constexpr std::size_t kLeastBytes = 4;
constexpr std::size_t kMostBytes = 4096;

/// Writers of so many bytes at a time to one open file.
class Writer {
 public:
  Writer(int file, std::size_t bytes) : group_(FLEXSC_FEATURE_CHAINS), client_(group_, 1) {
    file_ = file;
    bytes_ = bytes;
    text_.resize(kWrites * bytes);
    for (std::size_t i = 0; i < text_.size(); ++i) text_[i] = static_cast<char>(i * 7919 >> 8);
    const int error = ::io_uring_queue_init(FLEXSC_PAGE_ENTRIES, &ring_, 0);
    if (error < 0) fail("io_uring_queue_init", -error);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() { ::io_uring_queue_exit(&ring_); }

  // Each returns what one write takes, in ns.
  double direct() {
    return average([&] {
      long sum = 0;
      for (unsigned i = 0; i < kWrites; ++i) sum += enter(SYS_write, file(), text(i), bytes_);
      return sum;
    });
  }
  double flush() {
    return average([&] { return crossed(0, kWrites); });
  }
  double chain() {
    return average([&] { return crossed(FLEXSC_ENTRY_LINK, 1); });
  }
  double linked() {
    return average([&] { return submitted(IOSQE_IO_LINK); });
  }
  double uring() {
    return average([&] { return submitted(0); }, false);
  }

 private:
  /// `all` makes all writes, in their order or not, and returns the bytes that were written.
  template <class F>
  double average(F all, bool in_order = true) {
    double sum = 0;
    for (unsigned i = 0; i < kTimes; ++i) {
      wipe();
      long written = 0;
      sum += timed([&] { written = all(); });
      verify(written, in_order);
    }
    return sum / kTimes / kWrites;
  }

  /// By one flush of what `posted` entries stand for; all but the last have these flags.
  long crossed(unsigned flags, unsigned posted) {
    for (unsigned i = 0; i < kWrites; ++i) {
      flexsc_entry* const entry = client_.entry(i);
      fill<SYS_write>(entry, 1, file(), text(i), __u64{bytes_});
      if (i + 1 < kWrites) entry->flags = static_cast<decltype(entry->flags)>(flags);
    }
    client_.post(FLEXSC_QUEUE_FLUSH, 0, posted);
    if (command(client_.fd(), FLEXSC_CMD_FLUSH, 0) != posted || !client_.take(0, kWrites))
      return -1;
    return sum_results(client_.entry(0), kWrites);
  }

  long submitted(unsigned flags) {
    for (unsigned i = 0; i < kWrites; ++i) {
      io_uring_sqe* const entry = ::io_uring_get_sqe(&ring_);
      if (entry == nullptr) return -1;
      // Where the file's position is, as write() does.
      ::io_uring_prep_write(entry, file_, &text_[i * bytes_], static_cast<unsigned>(bytes_), ~0ULL);
      if (i + 1 < kWrites) entry->flags = static_cast<decltype(entry->flags)>(flags);
    }
    if (::io_uring_submit_and_wait(&ring_, kWrites) < 0) return -1;
    long sum = 0;
    unsigned head = 0;
    unsigned seen = 0;
    io_uring_cqe* completion = nullptr;
    io_uring_for_each_cqe(&ring_, head, completion) {
      sum += completion->res;
      ++seen;
    }
    ::io_uring_cq_advance(&ring_, seen);
    return sum;
  }

  /// The file keeps its pages, so that no sample pays for them.
  void wipe() const {
    const std::vector<char> nothing(text_.size());
    if (::pwrite(file_, nothing.data(), nothing.size(), 0) < 0) fail("pwrite", errno);
    // Of a device without a position it means nothing.
    if (::lseek(file_, 0, SEEK_SET) < 0) fail("lseek", errno);
  }

  void verify(long written, bool in_order) const {
    std::vector<char> found(text_.size() + 1);
    if (written != static_cast<long>(text_.size())) {
      throw std::runtime_error("writes ended with " + std::to_string(written));
    }
    if (!in_order) return;
    const long read = ::pread(file_, found.data(), found.size(), 0);
    found.resize(text_.size());
    // /dev/null gives nothing back.
    if (read != 0 && (read < written || found != text_)) {
      throw std::runtime_error("what was written is not there");
    }
  }

  [[nodiscard]] __u64 file() const { return static_cast<__u64>(file_); }
  [[nodiscard]] __u64 text(unsigned i) const {
    return reinterpret_cast<std::uintptr_t>(&text_[i * bytes_]);
  }

  Group group_;
  Client client_;
  io_uring ring_{};
  int file_;
  std::size_t bytes_;
  std::vector<char> text_;
};

void add_write_lines(json& lines, Context& context, const std::string& name, int file,
                     double begun) {
  json direct = {{"call", name}, {"how", "direct"}};
  json flush = {{"call", name}, {"how", "flush"}};
  json chain = {{"call", name}, {"how", "one chain"}};
  json linked = {{"call", name}, {"how", "io_uring, linked"}};
  json uring = {{"call", name}, {"how", "io_uring"}};
  for (std::size_t bytes = kLeastBytes; bytes <= kMostBytes; bytes *= 4) {
    Writer writer(file, bytes);
    const auto sample = [&](json& line, auto&& measure) {
      json& values = line["batches"][std::to_string(bytes)];
      if (!context.quick()) (void)measure();
      for (unsigned i = 0; i < context.samples(kWriteSamples, kQuickWriteSamples); ++i) {
        values.push_back(measure());
      }
    };
    sample(direct, [&] { return writer.direct(); });
    sample(flush, [&] { return writer.flush(); });
    sample(chain, [&] { return writer.chain(); });
    sample(linked, [&] { return writer.linked(); });
    sample(uring, [&] { return writer.uring(); });
    context.progress(begun += 0.08);
  }
  for (json* line : {&direct, &flush, &chain, &linked, &uring}) lines.push_back(std::move(*line));
}

Fd opened(const char* path, int flags) {
  Fd fd(::open(path, flags | O_RDWR | O_CLOEXEC, 0600));
  if (fd.get() < 0) fail(path, errno);
  return fd;
}

}  // namespace

json writes60(Context& context) {
  json lines = json::array();
  add_write_lines(lines, context, "write, tmpfs", opened(kFolder, O_TMPFILE).get(), 0);
  add_write_lines(lines, context, "write, /dev/null", opened("/dev/null", 0).get(), 0.5);
  return {{"table", std::move(lines)}};
}

}  // namespace flexsc::bench
