// SPDX-License-Identifier: MIT
#include "backtrace.hpp"

#include <cxxabi.h>
#include <elfutils/libdwfl.h>

#include <array>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>

namespace flexsc::tools {
namespace {

constexpr std::size_t kMostFrames = 64;
// Registers by their DWARF numbers on x86-64.
constexpr int kRbx = 3;
constexpr int kRbp = 6;
constexpr int kRsp = 7;
constexpr int kR12 = 12;
constexpr int kRip = 16;

const void* at(std::uint64_t address) noexcept {
  return reinterpret_cast<const void*>(address);  // NOLINT(performance-no-int-to-ptr)
}

std::string readable(const char* symbol) {
  int status = 0;
  char* name = abi::__cxa_demangle(symbol, nullptr, nullptr, &status);
  std::string result = status == 0 ? name : symbol;
  std::free(name);  // NOLINT(cppcoreguidelines-no-malloc): that is how it is given
  return result;
}

}  // namespace

/// What elfutils knows of the process. For it, the process has one thread: the stack that is asked
/// for.
struct Backtracer::Session {
  Session(const detail::ProcessMemory& whose, const detail::SavedRegisters& places) noexcept
      : memory(whose), registers(places) {}

  const detail::ProcessMemory& memory;
  const detail::SavedRegisters registers;
  Dwfl* dwfl = nullptr;
  std::uint64_t stack_pointer = 0;
  std::vector<std::string> frames;

  static pid_t next_thread(Dwfl* /*dwfl*/, void* self, void** thread) {
    if (*thread != nullptr) return 0;
    *thread = self;
    return static_cast<Session*>(self)->memory.process();
  }
  static bool read_word(Dwfl* /*dwfl*/, Dwarf_Addr address, Dwarf_Word* word, void* self) {
    return static_cast<Session*>(self)->memory.read(at(address), *word);
  }
  static bool set_registers(Dwfl_Thread* thread, void* self) {
    const Session& session = *static_cast<Session*>(self);
    const detail::SavedRegisters& places = session.registers;
    const auto set = [&](int number, std::uint32_t place) {
      Dwarf_Word word = 0;
      return session.memory.read(at(session.stack_pointer + place), word) &&
             dwfl_thread_state_registers(thread, number, 1, &word);
    };
    Dwarf_Word after = session.stack_pointer + places.rsp_after;
    return set(kRbx, places.rbx) && set(kRbp, places.rbp) && set(kR12, places.r12) &&
           set(kR12 + 1, places.r13) && set(kR12 + 2, places.r14) && set(kR12 + 3, places.r15) &&
           set(kRip, places.rip) && dwfl_thread_state_registers(thread, kRsp, 1, &after);
  }

  [[nodiscard]] std::string describe(Dwarf_Addr pc, bool exact) const {
    const Dwarf_Addr inside = exact ? pc : pc - 1;  // of the call that has not returned
    std::array<char, 32> text{};
    Dwfl_Module* module = dwfl_addrmodule(dwfl, inside);
    if (module != nullptr) {
      GElf_Off offset = 0;
      GElf_Sym symbol;
      const char* name =
          dwfl_module_addrinfo(module, inside, &offset, &symbol, nullptr, nullptr, nullptr);
      if (name != nullptr) {
        std::snprintf(text.data(), text.size(), "+0x%" PRIx64, offset + (exact ? 0 : 1));
        return readable(name) + text.data();
      }
    }
    std::snprintf(text.data(), text.size(), "0x%" PRIx64, pc);
    return text.data();
  }

  static int add_frame(Dwfl_Frame* frame, void* self) {
    Session& session = *static_cast<Session*>(self);
    Dwarf_Addr pc = 0;
    bool exact = false;
    if (!dwfl_frame_pc(frame, &pc, &exact)) return DWARF_CB_ABORT;
    session.frames.push_back(session.describe(pc, exact));
    return session.frames.size() < kMostFrames ? DWARF_CB_OK : DWARF_CB_ABORT;
  }
};

Backtracer::Backtracer(const detail::ProcessMemory& memory, const detail::SavedRegisters& registers)
    : session_(std::make_unique<Session>(memory, registers)) {
  static const Dwfl_Callbacks files{
      .find_elf = dwfl_linux_proc_find_elf,
      .find_debuginfo = dwfl_standard_find_debuginfo,
      .section_address = nullptr,
      .debuginfo_path = nullptr,
  };
  static const Dwfl_Thread_Callbacks threads{
      .next_thread = Session::next_thread,
      .get_thread = nullptr,
      .memory_read = Session::read_word,
      .set_initial_registers = Session::set_registers,
      .detach = nullptr,
      .thread_detach = nullptr,
  };
  session_->dwfl = dwfl_begin(&files);
  if (session_->dwfl == nullptr) return;
  const bool ready =
      dwfl_linux_proc_report(session_->dwfl, memory.process()) == 0 &&
      dwfl_report_end(session_->dwfl, nullptr, nullptr) == 0 &&
      dwfl_attach_state(session_->dwfl, nullptr, memory.process(), &threads, session_.get());
  if (ready) return;
  dwfl_end(session_->dwfl);
  session_->dwfl = nullptr;
}

Backtracer::~Backtracer() {
  if (session_->dwfl != nullptr) dwfl_end(session_->dwfl);
}

std::vector<std::string> Backtracer::of(std::uint64_t stack_pointer) const {
  if (session_->dwfl == nullptr || stack_pointer == 0) return {};
  session_->stack_pointer = stack_pointer;
  session_->frames.clear();
  // It fails where the stack's first frame is reached, which returns to nowhere.
  (void)dwfl_getthread_frames(session_->dwfl, session_->memory.process(), Session::add_frame,
                              session_.get());
  return std::move(session_->frames);
}

}  // namespace flexsc::tools
