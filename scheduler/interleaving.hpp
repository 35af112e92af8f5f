// SPDX-License-Identifier: MIT
/// @file
/// Rare interleavings, forced: random choices of who runs next, yields where a fiber could have
/// been interrupted, and victims of steals, all from a seed that repeats them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "flexsc/run_order.hpp"

namespace flexsc::detail {

/// Random numbers, the same on every machine: SplitMix64 (Steele, Lea and Flood, 2014).
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed) {}
  [[nodiscard]] std::uint64_t next() noexcept;
  /// Less than `end`, which is not 0.
  [[nodiscard]] std::size_t below(std::size_t end) noexcept {
    return static_cast<std::size_t>(next() % end);
  }

 private:
  std::uint64_t state_;
};

/// The choices of one carrier, but for those of its run order. Each kind has numbers of its own, so
/// that an idle carrier's looks for something to steal do not change what its fibers do.
struct Interleaving {
  Interleaving(std::uint64_t seed, std::size_t carrier) noexcept;
  Random yields;
  Random victims;
};

/// Takes any of the ready fibers.
[[nodiscard]] std::unique_ptr<RunOrder> shuffled(std::uint64_t seed, std::size_t carrier);

/// `option`, or what FLEXSC_SEED says: a number, or "random" for one that is drawn here. One that
/// is used is said on stderr, and again by each message with which flexsc ends the program.
/// @throws std::system_error (EINVAL) when FLEXSC_SEED is something else
[[nodiscard]] std::optional<std::uint64_t> seed_to_use(std::optional<std::uint64_t> option);

/// Whether any runtime of the process has a seed. relaxed: a fiber of one that has sees it, as it
/// was set before its carriers began.
extern constinit std::atomic<bool> interleaving;
void perhaps_yield();

/// Where a fiber may be interrupted: calls, and the beginning of what synchronisation objects do.
/// Not while somebody may wake it, see rule 5 in carrier.hpp.
inline void interleave() {
  if (interleaving.load(std::memory_order_relaxed)) [[unlikely]]
    perhaps_yield();
}

}  // namespace flexsc::detail
