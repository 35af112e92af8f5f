// SPDX-License-Identifier: MIT
// Copying a file as one chain that repeats, executed by flush, against a loop of read and write.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <vector>

#include "device.hpp"
#include "measurements.hpp"

namespace flexsc::bench {

using nlohmann::json;

namespace {

constexpr unsigned kCopyPairs = 21;
constexpr std::size_t kCopyBytes = 1U << 20;
// Of a sample: it takes several ticks of the kernel's timer, and so does not depend on one more.
constexpr double kSampleBlocks = 4096;

class Copy {
 public:
  explicit Copy(std::size_t block)
      : group_(FLEXSC_FEATURE_CHAINS),
        client_(group_, 1),
        from_(file()),
        to_(file()),
        block_(block) {
    std::vector<char> bytes(kCopyBytes);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7919 >> 8);
    if (::write(from_.get(), bytes.data(), bytes.size()) != long{kCopyBytes}) fail("write", errno);
  }

  /// Instructions for each block by one flush of a chain: read; write what was read; once more,
  /// until nothing is read or less is written than was to be.
  double chain() {
    return average([&] { return chain_once(); });
  }

  /// The same by direct calls, without libc.
  double loop() {
    return average([&] {
      return looped(
          [&] { return enter(SYS_read, in(), buffer(), block_); },
          [&](long bytes) { return enter(SYS_write, out(), buffer(), static_cast<__u64>(bytes)); });
    });
  }

  /// The same through libc.
  double libc_loop() {
    return average([&] {
      return looped([&] { return ::read(from_.get(), bytes_.data(), block_); },
                    [&](long bytes) {
                      return ::write(to_.get(), bytes_.data(), static_cast<std::size_t>(bytes));
                    });
    });
  }

 private:
  static Fd file() {
    Fd fd(::open(kFolder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (fd.get() < 0) fail(kFolder, errno);
    return fd;
  }

  [[nodiscard]] double blocks() const {
    return static_cast<double>(kCopyBytes) / static_cast<double>(block_);
  }

  /// Of what a copy takes, for each block.
  template <class F>
  double average(F copy) {
    const auto copies = std::max(1U, static_cast<unsigned>(kSampleBlocks / blocks()));
    double sum = 0;
    for (unsigned i = 0; i < copies; ++i) {
      rewind();
      sum += copy();
      verify();
    }
    return sum / copies / blocks();
  }

  double chain_once() {
    flexsc_entry* const read = client_.entry(0);
    flexsc_entry* const write = client_.entry(1);
    long flushed = 0;
    bool taken = false;
    const double time = timed([&] {
      fill<SYS_read>(read, 1, in(), buffer(), __u64{block_});
      read->flags = FLEXSC_ENTRY_LINK | FLEXSC_ENTRY_END_ON_ZERO;
      fill<SYS_write>(write, 1, out(), buffer(), __u64{0});
      write->flags = FLEXSC_ENTRY_END_ON_SHORT | FLEXSC_ENTRY_REPEAT;
      write->from = 1U << 2;
      client_.post(FLEXSC_QUEUE_FLUSH, 0, 1);
      flushed = command(client_.fd(), FLEXSC_CMD_FLUSH, 0);
      taken = client_.take(0, 2);
    });
    if (flushed != 1 || !taken || read->result != 0) {
      throw std::runtime_error("a chain ended with " + std::to_string(read->result) + " and " +
                               std::to_string(write->result));
    }
    return time;
  }

  template <class Read, class Write>
  double looped(Read read, Write write) {
    long bytes = 0;
    const double time = timed([&] {
      while ((bytes = read()) > 0 && write(bytes) == bytes) {
      }
    });
    if (bytes != 0) throw std::runtime_error("a loop did not reach the end");
    return time;
  }

  void rewind() const {
    if (::lseek(from_.get(), 0, SEEK_SET) < 0 || ::lseek(to_.get(), 0, SEEK_SET) < 0 ||
        ::ftruncate(to_.get(), 0) < 0) {
      fail("rewinding", errno);
    }
  }

  void verify() const {
    std::vector<char> a(kCopyBytes + 1);
    std::vector<char> b(kCopyBytes + 1);
    if (::pread(from_.get(), a.data(), a.size(), 0) != long{kCopyBytes} ||
        ::pread(to_.get(), b.data(), b.size(), 0) != long{kCopyBytes} || a != b) {
      throw std::runtime_error("the copy differs");
    }
  }

  [[nodiscard]] __u64 in() const { return static_cast<__u64>(from_.get()); }
  [[nodiscard]] __u64 out() const { return static_cast<__u64>(to_.get()); }
  [[nodiscard]] __u64 buffer() { return reinterpret_cast<std::uintptr_t>(bytes_.data()); }

  Group group_;
  Client client_;
  Fd from_;
  Fd to_;
  std::size_t block_;
  std::vector<char> bytes_ = std::vector<char>(block_);
};

json compare(Context& context, std::size_t block) {
  Copy copy(block);
  json result = {{"pairs", alternate(
                               context.samples(kCopyPairs), [&] { return copy.chain(); },
                               [&] { return copy.loop(); })}};
  result["about"]["libc_loop"] = copy.libc_loop();
  return result;
}

}  // namespace

json copy4096(Context& context) {
  return compare(context, 4096);
}

json copy512(Context& context) {
  return compare(context, 512);
}

json copy_sizes(Context& context) {
  json chain = {{"call", "read, write"}, {"how", "one chain"}};
  json loop = {{"call", "read, write"}, {"how", "direct calls"}};
  for (std::size_t block = 512; block <= 16384; block *= 2) {
    Copy copy(block);
    if (!context.quick()) {  // as alternate() does
      (void)copy.chain();
      (void)copy.loop();
    }
    for (unsigned i = 0; i < context.samples(5, 1); ++i) {
      chain["batches"][std::to_string(block)].push_back(copy.chain());
      loop["batches"][std::to_string(block)].push_back(copy.loop());
    }
  }
  return {{"table", json::array({chain, loop})}};
}

}  // namespace flexsc::bench
