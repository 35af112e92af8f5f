// SPDX-License-Identifier: MIT
#include "context.hpp"

#include <cxxabi.h>

#include <cerrno>

#include "posix_result.hpp"

namespace flexsc::detail {

// The assembly keeps whole-program optimisation from learning what they return.
[[gnu::noinline]] int get_errno() noexcept {
  asm volatile("");  // NOLINT(hicpp-no-assembler)
  return errno;
}

[[gnu::noinline]] void set_errno(int error) noexcept {
  asm volatile("");  // NOLINT(hicpp-no-assembler)
  errno = error;
}

ThreadState ThreadState::of_this_thread() noexcept {
  return {reinterpret_cast<ExceptionState*>(abi::__cxa_get_globals()), &errno};
}

void Context::prepare(const Stack& stack, void (*entry)(Transfer)) noexcept {
  FLEXSC_EXPECT(resume_ == nullptr);
  stack_bottom_ = stack.bottom;
  stack_size_ = stack.size;
  resume_ = stack.ended != nullptr
                ? stack.ended
                : boost::context::detail::make_fcontext(stack.begin(), stack.size, entry);
#ifdef FLEXSC_TSAN
  tsan_fiber_ = __tsan_create_fiber(0);
#endif
}

void* Context::forget() noexcept {
#ifdef FLEXSC_TSAN
  __tsan_destroy_fiber(tsan_fiber_);
  tsan_fiber_ = nullptr;
#endif
#if defined(FLEXSC_ASAN) || defined(FLEXSC_TSAN)
  return nullptr;  // they are told of a new stack each time, which has no frames yet
#else
  return resume_;
#endif
}

}  // namespace flexsc::detail
