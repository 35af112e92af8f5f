// SPDX-License-Identifier: MIT
/// @file
/// Fibers that keep others from running, or do not get on: found by a thread that watches the
/// carriers, and told; and locks of the operating system held where that may stop a carrier.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace flexsc {

/// What has been seen of one fiber.
struct WatchReport {
  enum class Kind : std::uint8_t {
    busy,   ///< it runs without a yield or a wait, and its carrier's other fibers do not
    stuck,  ///< it waits in one call, or for one lock or the like
    lock,   ///< it leaves its carrier to others while it holds a lock of the operating system
  };
  Kind kind = Kind::busy;
  std::string_view name;    ///< of the fiber, as given at spawn; only while the report is made
  std::uint64_t fiber = 0;  ///< its address in the list of `flexsc fibers`
  std::size_t carrier = 0;  ///< its number in the runtime
  int thread = 0;           ///< the carrier's thread id
  std::chrono::nanoseconds lasts{0};  ///< busy, stuck: for so long at least, to some milliseconds
  /// Of a lock: "pthread_mutex 0x7f… taken at serve()+0x18 < main+0x40", innermost first; functions
  /// that are not exported (-rdynamic) as "program(+0x1234)", for addr2line. Of one that is stuck:
  /// "read(3, 0x7f…, 4096, 0, 0, 0)", "mutex 0x7f…", "a time"; only while the report is made.
  std::string_view what;
};

/// The report as one line, without an end of line.
[[nodiscard]] std::string to_text(const WatchReport& report);

/// What a Runtime watches. With both limits 0, nothing, and then there is no thread for it.
///
/// It costs the fibers nothing: the thread reads what the carriers write anyway, through
/// /proc/self/mem. It looks at the carriers at least four times in each limit, and at all fibers as
/// often, but for no more than a twentieth of a CPU: at 100,000 fibers some ten seconds apart. That
/// late a report may be.
struct WatchOptions {
  /// How long a fiber may run without a yield or a wait. Calls that are made directly (engine
  /// `direct`) count as running.
  std::chrono::nanoseconds busy{0};
  /// How long a fiber may wait in one call or for one object. In a server connections wait for
  /// long as a matter of course: the report has the name and the call to tell them by.
  std::chrono::nanoseconds stuck{0};
  /// Called for each report, once for each time that a fiber runs, or waits, for too long; null:
  /// the text as a line on stderr. In the watchdog's thread, one call at a time. It may wait; it
  /// must not throw, nor destroy the Runtime.
  /// Reports of locks come where libflexsc-locks.so is loaded, whatever the limits are, from the
  /// fiber that is about to leave: for these it must not make calls of flexsc, nor wait for long.
  std::function<void(const WatchReport&)> report = {};
};

}  // namespace flexsc
