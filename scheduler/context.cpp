// SPDX-License-Identifier: MIT
#include "context.hpp"

#include <cxxabi.h>

#include <boost/context/detail/fcontext.hpp>
#include <cerrno>

#include "expect.hpp"
#include "sanitizer.hpp"

namespace flexsc::detail {
namespace {

using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

/// The state of C++ exceptions of a thread, as the Itanium C++ ABI (2.2.2) lays it out.
struct ExceptionState {
  void* caught = nullptr;  ///< stack of the exceptions being handled
  unsigned uncaught = 0;   ///< thrown and not yet caught
};

ExceptionState& exception_state() noexcept {
  return *reinterpret_cast<ExceptionState*>(abi::__cxa_get_globals());
}

}  // namespace

/// The two halves of a switch: before the jump, and after it on the other side.
struct Context::Entry {
  static void leave([[maybe_unused]] Context& from, [[maybe_unused]] Context& to,
                    [[maybe_unused]] bool from_ends) noexcept {
#ifdef FLEXSC_ASAN
    __sanitizer_start_switch_fiber(from_ends ? nullptr : &from.fake_stack_, to.stack_bottom_,
                                   to.stack_size_);
#endif
#ifdef FLEXSC_TSAN
    if (from.tsan_fiber_ == nullptr) from.tsan_fiber_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to.tsan_fiber_, 0);
#endif
  }

  static void arrive([[maybe_unused]] Context& self, const transfer_t& from) noexcept {
    auto& previous = *static_cast<Context*>(from.data);
    FLEXSC_EXPECT(previous.resume_ == nullptr);
    previous.resume_ = from.fctx;
#ifdef FLEXSC_ASAN
    // Tells also where the stack of the thread itself is, the first time it is left.
    __sanitizer_finish_switch_fiber(self.fake_stack_, &previous.stack_bottom_,
                                    &previous.stack_size_);
#endif
  }

  [[noreturn]] static void start(transfer_t from);
};

namespace {
/// The context being started. Set before the first jump to it, in the same thread.
thread_local Context* starting = nullptr;
}  // namespace

void Context::Entry::start(transfer_t from) {
  Context& self = *starting;
  arrive(self, from);
  exception_state() = {};
  errno = 0;
  self.entry_();
  broken("a fiber's entry never returns", __FILE__, __LINE__);
}

void Context::prepare(const Stack& stack, void (*entry)()) noexcept {
  FLEXSC_EXPECT(resume_ == nullptr && entry_ == nullptr);
  entry_ = entry;
  stack_bottom_ = stack.bottom;
  stack_size_ = stack.size;
  resume_ = make_fcontext(stack.top(), stack.size, &Entry::start);
#ifdef FLEXSC_TSAN
  tsan_fiber_ = __tsan_create_fiber(0);
#endif
}

// Not inlined: ThreadSanitizer keeps a shadow of the call stack for each context, which
// stays right only if every context is left and entered in one and the same function.
[[gnu::noinline]] void Context::switch_to(Context& from, Context& to, bool from_ends) noexcept {
  FLEXSC_EXPECT(from.resume_ == nullptr && to.resume_ != nullptr);
  ExceptionState& exceptions = exception_state();  // of this thread, which we never leave
  const ExceptionState saved_exceptions = exceptions;
  const int saved_errno = errno;

  starting = &to;  // read only if this is the first switch to it
  void* resume = to.resume_;
  to.resume_ = nullptr;
  Entry::leave(from, to, from_ends);
  const transfer_t transfer = jump_fcontext(resume, &from);
  Entry::arrive(from, transfer);

  exceptions = saved_exceptions;
  errno = saved_errno;
}

void Context::forget() noexcept {
#ifdef FLEXSC_TSAN
  __tsan_destroy_fiber(tsan_fiber_);
  tsan_fiber_ = nullptr;
#endif
}

}  // namespace flexsc::detail
