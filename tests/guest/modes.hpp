// SPDX-License-Identifier: MIT
/// @file
/// The fixture of tests that hold whoever executes: a worker, a helper or a flush.
#pragma once

#include "process.hpp"

namespace flexsc_guest {

/// What the entries of a chain return.
using Results = std::vector<long>;

// Flags of entries, by short names.
inline constexpr int kLink = FLEXSC_ENTRY_LINK;
inline constexpr int kRepeat = FLEXSC_ENTRY_REPEAT;
inline constexpr int kGoOn = FLEXSC_ENTRY_GO_ON;
inline constexpr int kEndOnZero = FLEXSC_ENTRY_END_ON_ZERO;
inline constexpr int kEndOnShort = FLEXSC_ENTRY_END_ON_SHORT;
inline constexpr int kSum = FLEXSC_ENTRY_SUM;

inline Call write_byte(const Pipe& pipe, const char* byte = "x") {
  return call(SYS_write, pipe.writer.get(), byte, 1);
}

class ModesTest : public GuestTest, public testing::WithParamInterface<By> {
 protected:
  /// Its pool is asleep, so that a helper finds what is posted.
  static Rig make_rig(unsigned pages = 1) {
    return sleeping_rig({.concurrency = 1, .spin_us = 0}, pages);
  }
  static Results run(const Rig& rig, std::vector<Call> calls) {
    return run_chain(rig.client, GetParam(), calls);
  }
  static long run_one(const Rig& rig, const Call& c) { return run(rig, {c})[0]; }
};

#define FLEXSC_IN_ALL_MODES(Suite)                                                                 \
  INSTANTIATE_TEST_SUITE_P(By, Suite,                                                              \
                           testing::Values(::flexsc_guest::By::kWorker, ::flexsc_guest::By::kHelp, \
                                           ::flexsc_guest::By::kFlush),                            \
                           [](const auto& mode) { return ::flexsc_guest::name_of(mode.param); })

}  // namespace flexsc_guest
