// SPDX-License-Identifier: MIT
/// @file
/// The watchdog of a runtime.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "fiber_list.hpp"
#include "flexsc/watch.hpp"

namespace flexsc::detail {

class RuntimeImpl;

/// Looks at the carriers and fibers of a runtime. What is theirs (Carrier::current_, FiberRecord,
/// and what hangs on it) it reads as another process would (fiber_list.hpp), since they change it
/// meanwhile; shared words are Carrier::switches() and keep_time() alone. So no fiber and no
/// carrier does anything for it.
///
/// The looks are by one thread: the watchdog's, or a test that has not begun one.
class Watch {
 public:
  /// @throws std::system_error: a limit is negative (EINVAL), or the memory of the process cannot
  /// be read (EACCES where it may not be dumped, ENOENT without /proc)
  Watch(RuntimeImpl& runtime, const WatchOptions& options);
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() { end(); }

  /// Begins the thread. @throws std::system_error
  void begin();
  /// Ends it, if there is one; a report that is being made is waited for.
  void end() noexcept;

  // At `now`, in ns as of coarse_now(); never less than in the look before.
  void look_at_carriers(std::int64_t now);
  void look_at_fibers(std::int64_t now);
  /// Tells the carriers the time, which they do not look at while a fiber runs: what parks after
  /// that has not been parked before.
  void keep_time(std::int64_t now) noexcept;

 private:
  /// A carrier when it was looked at.
  struct Seen {
    std::uint64_t switches = 0;
    std::uint64_t fiber = 0;  ///< address of the FiberControl; 0: it runs none
    std::int64_t since = 0;   ///< the first look at which it was like that
    bool reported = false;
  };

  void run();
  void report_busy(std::size_t carrier, const Seen& seen, std::int64_t now);
  void report_stuck(const FiberView& fiber, const FiberRecord& record, std::int64_t now);

  RuntimeImpl& runtime_;
  const std::int64_t busy_;   ///< 0: not watched
  const std::int64_t stuck_;  ///< the same
  const ProcessMemory memory_;
  std::vector<Seen> seen_;  ///< by carrier
  /// Fibers that were reported as stuck and still are: FiberRecord::parks by address.
  std::unordered_map<std::uint64_t, std::uint64_t> reported_;

  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable ended_changed_;
  bool ended_ = false;  ///< guarded by mutex_
};

}  // namespace flexsc::detail
