// SPDX-License-Identifier: MIT
/// @file
/// One process of the stress program: random legal and illegal use of the device, everything from
/// one seed. It knows what must hold of what it has posted, and looks.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "kit.hpp"

namespace flexsc_stress {

/// A promise of the module was broken.
struct Violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  /// 0 to below - 1.
  unsigned below(unsigned limit) { return static_cast<unsigned>(engine_() % limit); }
  bool one_in(unsigned n) { return below(n) == 0; }

 private:
  std::mt19937_64 engine_;
};

class Life {
 public:
  /// faulty: allocations fail now and then, so anything may be refused.
  Life(std::uint64_t seed, bool faulty);
  Life(const Life&) = delete;
  Life& operator=(const Life&) = delete;
  ~Life();

  /// Does so many operations, looks whether everything came to its end, and ends the process in one
  /// of the ways there are. Throws Violation. Does not return if the end is not an ordinary one.
  void live(unsigned operations);

 private:
  static constexpr unsigned kMaxGroups = 3;

  enum class Kind : unsigned char { kFree, kPlain, kSink, kOpens, kCloses };
  struct Shared {
    std::shared_ptr<flexsc_guest::Client> client;
    std::size_t group = 0;
  };
  struct Mine : Shared {
    std::vector<std::array<Kind, FLEXSC_PAGE_ENTRIES>> kinds;  // of entries in flight
    bool mapped = true;
  };

  void step();
  void make_group();
  void make_client();
  void drop_client();
  void change_pool();
  void post();
  void post_illegal();
  flexsc_guest::Call random_call(Kind& kind);
  bool place(Mine& mine, unsigned count, unsigned& page, unsigned& bit);
  void cancel();
  void protect();
  void fork_and_try();
  void leave_in_flight();
  void reap(Mine& mine);
  void settle();
  void take_back(Mine& mine);
  unsigned in_flight(const Mine& mine) const;
  void feed();
  void clean_end();
  void keep_company(const std::stop_token& stop);
  Mine* any();
  void share();

  Random random_;
  std::uint64_t company_seed_;
  bool faulty_;
  std::vector<std::unique_ptr<flexsc_guest::Group>> groups_;
  std::vector<unsigned> pools_;  // of each group
  std::deque<Mine> mine_;
  flexsc_guest::Pipe sink_, source_, never_;
  std::vector<char> buffer_;
  long written_ = 0;
  std::size_t descriptors_ = 0;

  std::mutex mutex_;
  std::vector<Shared> shared_;  // what the company may use
  std::jthread company_;
};

/// Worker threads in this process.
std::size_t workers();
std::size_t open_descriptors();

}  // namespace flexsc_stress
