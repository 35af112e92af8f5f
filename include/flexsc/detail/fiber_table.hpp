// SPDX-License-Identifier: MIT
/// @file
/// What a process tells of its fibers to whoever reads its memory: `flexsc fibers`, the watchdog,
/// and gdb (scheduler/flexsc-gdb.py, which has these layouts too). It is there for processes that
/// hang, so nothing in them has to run for it.
///
/// The table is a mapping that shows in /proc/PID/maps under kTableName, and is the symbol
/// flexsc_fiber_table. From there everything is found by addresses:
///
///   FiberTable -> RuntimeRecord -> ... -> CarrierRecord (one for each carrier)
///                               -> StackTable -> ... : of each stack, where it ends
///   the words below the end of a stack -> FiberRecord, while a fiber has the stack
///
/// Nothing is locked: whoever reads looks at it while it changes. A FiberRecord is one if its mark
/// is right, and what was read of one that waits holds if `parks`, `state` and the rest of the
/// record are the same after. The writers are the threads that own the objects (see FiberControl
/// and StackPool); they write what they need anyway, and of the rest a word or two at a spawn and
/// at a park.
///
/// Any change of these layouts is a new kTableVersion.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flexsc {
struct Call;
}

namespace flexsc::detail {

class Carrier;
class Waiter;
struct PendingCall;

inline constexpr const char* kTableName = "flexsc-fibers";
inline constexpr std::uint64_t kTableMagic = 0x7372656269662d78;  // "x-fibers"
inline constexpr std::uint32_t kTableVersion = 1;
inline constexpr std::uint64_t kFiberMark = 0x464c58465f464942;
/// From the end of a stack down to the word with the address of its fiber's record.
inline constexpr std::size_t kOwnerBelowTop = 16;

enum class FiberState : std::uint8_t {
  fresh,     ///< never ran; on some carrier's fresh queue
  ready,     ///< on its carrier's ready queue; if it may move, where all carriers take from
  running,   ///< its carrier's current fiber
  parked,    ///< waits for a wake-up: a completion, a timer or Carrier::wake()
  finished,  ///< its body has returned; its stack may be reused
};

/// Part of each FiberControl.
struct FiberRecord {
  std::uint64_t mark = 0;  ///< kFiberMark ^ its own address
  const char* name_text = nullptr;
  std::uint32_t name_size = 0;
  FiberState state = FiberState::fresh;
  std::uint64_t parks = 0;       ///< times it parked
  std::int64_t since = 0;        ///< CLOCK_MONOTONIC in ns, coarse, when it parked last
  Carrier* carrier = nullptr;    ///< set when it starts; changed only while it is moved
  Waiter* waits_on = nullptr;    ///< what it is parked on, unless on a call: a WaitRecord
  PendingCall* call = nullptr;   ///< what it is parked on, if it is a call: a CallRecord
  void* const* saved = nullptr;  ///< where its stack pointer is kept while it does not run
};

/// First of each Waiter.
struct WaitRecord {
  const char* what;  ///< in words, ends with 0
  const void* on;    ///< the object, or null
};

/// First of each PendingCall.
struct CallRecord {
  const Call* call = nullptr;  ///< null if it is a chain
};

struct CarrierRecord {
  const Carrier* carrier = nullptr;
  std::int32_t thread = 0;  ///< 0: not begun
  std::uint32_t index = 0;
};

/// Of a mapping that stacks are cut from.
struct StackPlace {
  std::byte* first_top = nullptr;  ///< end of the lowest stack
  std::size_t stride = 0;          ///< from one to the next
  std::size_t count = 0;           ///< 0: not in use
};

struct StackTable {
  static constexpr std::size_t kPlaces = 340;
  StackTable* next = nullptr;
  std::size_t used = 0;  ///< places from there on were never in use
  StackPlace places[kPlaces];
};

struct RuntimeRecord {
  RuntimeRecord* next = nullptr;
  const CarrierRecord* carriers = nullptr;
  std::size_t carrier_count = 0;
  const StackTable* stacks = nullptr;
};

/// How jump_fcontext leaves a stack: bytes from the saved stack pointer.
struct SavedRegisters {
  std::uint32_t r12 = 0x10, r13 = 0x18, r14 = 0x20, r15 = 0x28, rbx = 0x30, rbp = 0x38, rip = 0x40;
  std::uint32_t rsp_after = 0x48;  ///< what rsp is once it has been resumed
};

struct FiberTable {
  std::uint64_t magic = kTableMagic;
  std::uint32_t version = kTableVersion;
  std::int32_t process = 0;  ///< in the child of a fork another one: it has no fibers
  RuntimeRecord* runtimes = nullptr;
  SavedRegisters registers;
};

}  // namespace flexsc::detail
