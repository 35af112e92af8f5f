// SPDX-License-Identifier: MIT
/// @file
/// The fibers of a process, read from its memory without its help: it may hang, or be another one.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "flexsc/call.hpp"
#include "flexsc/detail/fiber_table.hpp"

namespace flexsc::detail {

/// The memory of a process, by /proc/PID/mem. Reading what is not there fails, and harms nobody.
class ProcessMemory {
 public:
  /// @throws std::system_error: no such process (ENOENT), or one that the caller may not trace
  /// (EACCES)
  explicit ProcessMemory(pid_t process);
  ProcessMemory(const ProcessMemory&) = delete;
  ProcessMemory& operator=(const ProcessMemory&) = delete;
  ~ProcessMemory();

  [[nodiscard]] pid_t process() const noexcept { return process_; }
  [[nodiscard]] bool read(const void* from, void* into, std::size_t bytes) const noexcept;
  template <class T>
  [[nodiscard]] bool read(const void* from, T& into) const noexcept {
    return read(from, static_cast<void*>(&into), sizeof(T));
  }

 private:
  const pid_t process_;
  int file_;
};

/// A fiber at one moment.
struct FiberView {
  std::uint64_t address = 0;  ///< of its FiberRecord; no two have the same at a time
  std::string name;
  FiberState state = FiberState::fresh;
  std::uint64_t parks = 0;
  pid_t thread = 0;  ///< of its carrier; 0: it has not started
  std::uint32_t carrier = 0;
  std::int64_t since = 0;  ///< CLOCK_MONOTONIC in ns; of a parked one
  std::string waits_for;   ///< of a parked one: a lock or the like, in words, if it is no call
  std::uint64_t on = 0;    ///< ... and its address, or 0
  std::optional<Call> call;
  bool chain = false;
  /// The stack pointer it was left with, or 0: it runs, or never did.
  std::uint64_t stack_pointer = 0;
  /// It changed each time it was looked at: what is above may be of several moments.
  bool changing = false;
};

struct FiberList {
  SavedRegisters registers;
  std::vector<FiberView> fibers;
};

/// Where the table of the process is. @throws std::system_error: no maps (ENOENT, EACCES);
/// std::runtime_error: it has no fibers of flexsc, or of another version
[[nodiscard]] const FiberTable* find_fiber_table(const ProcessMemory& memory);

/// The addresses of the records of all fibers whose stacks `first` and the tables after it have;
/// what is there may have ended meanwhile. @throws std::bad_alloc, and what `visit` throws
void visit_fibers(const ProcessMemory& memory, const StackTable* first,
                  const std::function<void(std::uint64_t address)>& visit);

/// All fibers that are there from the beginning to the end of it; others may be missing.
[[nodiscard]] FiberList list_fibers(const ProcessMemory& memory, const FiberTable* table);

/// One of them as it is now; nothing, if it has ended.
[[nodiscard]] std::optional<FiberView> view_fiber(const ProcessMemory& memory,
                                                  std::uint64_t address);

/// What a parked fiber waits for: "read(3, 0x7f…, 4096)", "mutex 0x7f…", "a time".
[[nodiscard]] std::string waits_text(const FiberView& fiber);
[[nodiscard]] const char* state_text(FiberState state) noexcept;

}  // namespace flexsc::detail
