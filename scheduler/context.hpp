// SPDX-License-Identifier: MIT
/// @file
/// Switching between stacks of one thread, and what has to move along with the registers.
#pragma once

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>

#include "expect.hpp"
#include "sanitizer.hpp"
#include "stack.hpp"

namespace flexsc::detail {

/// The state of C++ exceptions of a thread, as the Itanium C++ ABI (2.2.2) lays it out.
struct ExceptionState {
  void* caught = nullptr;  ///< stack of the exceptions being handled
  unsigned uncaught = 0;   ///< thrown and not yet caught
};

/// What of a thread's state belongs to the context that runs, where it is. It is looked up
/// once for a thread that runs contexts, as both look-ups are calls.
struct ThreadState {
  ExceptionState* exceptions = nullptr;
  int* error = nullptr;  ///< errno
  [[nodiscard]] static ThreadState of_this_thread() noexcept;
};

/// An execution context: a fiber's, or the one a carrier thread started with.
///
/// A switch keeps, for each context, the callee-saved registers (Boost's jump_fcontext),
/// errno, and the state of C++ exceptions of the thread (which exceptions are being
/// handled, how many are in flight). Boost does the last itself since 1.88, but only in
/// its class `fiber`, not in jump_fcontext; so it is done here with every version.
class Context {
 public:
  /// The context of the calling thread; to be filled by the first switch away from it.
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() = default;

  using Transfer = boost::context::detail::transfer_t;

  /// Makes a context that goes to `entry` at the first switch to it, or, if a context has ended on
  /// this stack, back to where that called end(). Either must begin with entered() and never
  /// return.
  void prepare(const Stack& stack, void (*entry)(Transfer)) noexcept;
  static void entered(const Transfer& transfer) noexcept;

  /// Suspends `from`, which must be the running context, and resumes `to`. Returns when
  /// somebody switches back, maybe in another thread. `thread` is the calling one's. Only when the
  /// next context runs is nobody on the stack of `from` any more, so another thread must not learn
  /// of `from` before that.
  static void switch_to(Context& from, Context& to, const ThreadState& thread) noexcept;
  /// The same for good. Returns in another context, one that was prepared on this stack afterwards.
  [[nodiscard]] static Transfer end(Context& from, Context& to, const ThreadState& thread) noexcept;

  /// Where its stack pointer is kept, null while it runs.
  [[nodiscard]] void* const* saved() const noexcept { return &resume_; }
  /// Of a context that has ended: frees what the sanitizers keep for it. @returns what its stack
  /// may carry as `ended` for the next prepare()
  [[nodiscard]] void* forget() noexcept;

 private:
  /// Handed over by a jump; on the stack that is left.
  struct Passage {
    Context& from;
    Context& to;
    const ThreadState& thread;
  };
  void left(Context& to, bool ends) noexcept;
  void arrived(Context& from, void* resume) noexcept;

  void* resume_ = nullptr;  ///< Boost's fcontext_t; null while running
  // For the sanitizers; unused without them.
  const void* stack_bottom_ = nullptr;
  std::size_t stack_size_ = 0;
#if defined(FLEXSC_ASAN) || defined(FLEXSC_TSAN)
  void* fake_stack_ = nullptr;
  void* tsan_fiber_ = nullptr;
#endif
};

/// The half of a switch before the jump.
inline void Context::left([[maybe_unused]] Context& to, [[maybe_unused]] bool ends) noexcept {
#ifdef FLEXSC_ASAN
  __sanitizer_start_switch_fiber(ends ? nullptr : &fake_stack_, to.stack_bottom_, to.stack_size_);
#endif
#ifdef FLEXSC_TSAN
  if (tsan_fiber_ == nullptr) tsan_fiber_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(to.tsan_fiber_, 0);
#endif
}

/// The half after it, on the other side.
inline void Context::arrived(Context& from, void* resume) noexcept {
  FLEXSC_EXPECT(from.resume_ == nullptr);
  from.resume_ = resume;
#ifdef FLEXSC_ASAN
  // Tells also where the stack of the thread itself is, the first time it is left.
  __sanitizer_finish_switch_fiber(fake_stack_, &from.stack_bottom_, &from.stack_size_);
#endif
}

inline void Context::entered(const Transfer& transfer) noexcept {
  const Passage& passage = *static_cast<Passage*>(transfer.data);
  passage.to.arrived(passage.from, transfer.fctx);
  *passage.thread.exceptions = {};
  *passage.thread.error = 0;
}

/// Boost's jump_fcontext, entered by a jump instead of a call. It ends with a jump, so a call would
/// leave the processor's stack of return addresses one too high, and it would mispredict every
/// return that follows (measured: two thirds of the time of a switch). This way it is right
/// whenever both contexts were left at the same place in the same code, as most are.
[[gnu::always_inline]] inline boost::context::detail::transfer_t jump(void* resume,
                                                                      void* data) noexcept {
#if defined(__x86_64__) && !defined(__CET__) && !defined(FLEXSC_ASAN) && !defined(FLEXSC_TSAN)
  // The ABI of a call, but that the return address is pushed by hand, below the red zone.
  // NOLINTBEGIN(hicpp-no-assembler)
  void* rax = reinterpret_cast<void*>(&boost::context::detail::jump_fcontext);
  void* rdx = nullptr;
  asm volatile(
      "lea -128(%%rsp), %%rsp\n\t"
      "lea 1f(%%rip), %%rcx\n\t"
      "push %%rcx\n\t"
      "jmp *%%rax\n"
      "1:\t"
      "lea 128(%%rsp), %%rsp"
      : "+a"(rax), "=&d"(rdx), "+D"(resume), "+S"(data)
      :
      : "rcx", "r8", "r9", "r10", "r11", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
        "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
        "xmm15");
  // NOLINTEND(hicpp-no-assembler)
  return {rax, rdx};
#else
  return boost::context::detail::jump_fcontext(resume, data);
#endif
}

// What calls these is to be as flat as can be, hence inline: each return after them may be
// mispredicted, see jump(). But ThreadSanitizer keeps a shadow of the call stack for each context,
// which stays right only if every context is left and entered in one and the same function.
#ifdef FLEXSC_TSAN
#define FLEXSC_SWITCHES [[gnu::noinline]]
#else
#define FLEXSC_SWITCHES [[gnu::always_inline]]
#endif

FLEXSC_SWITCHES inline void Context::switch_to(Context& from, Context& to,
                                               const ThreadState& thread) noexcept {
  FLEXSC_EXPECT(from.resume_ == nullptr && to.resume_ != nullptr);
  const ExceptionState exceptions = *thread.exceptions;
  const int error = *thread.error;

  Passage passage{from, to, thread};
  void* resume = to.resume_;
  to.resume_ = nullptr;
  from.left(to, false);
  const auto transfer = jump(resume, &passage);
  // The thread of who resumed us, which is the one we are in now.
  const Passage& back = *static_cast<Passage*>(transfer.data);
  from.arrived(back.from, transfer.fctx);

  *back.thread.exceptions = exceptions;
  *back.thread.error = error;
}

FLEXSC_SWITCHES inline Context::Transfer Context::end(Context& from, Context& to,
                                                      const ThreadState& thread) noexcept {
  FLEXSC_EXPECT(from.resume_ == nullptr && to.resume_ != nullptr);
  Passage passage{from, to, thread};
  void* resume = to.resume_;
  to.resume_ = nullptr;
  from.left(to, true);
  return jump(resume, &passage);
}
#undef FLEXSC_SWITCHES

}  // namespace flexsc::detail
