// SPDX-License-Identifier: MIT
#include "overflow.hpp"

#include <sys/mman.h>
#include <sys/syscall.h>

#include <cstring>
#include <mutex>
#include <string_view>

#include "carrier.hpp"
#include "flexsc/call.hpp"
#include "interleaving.hpp"

namespace flexsc::detail {
namespace {

constexpr std::size_t kSignalStackBytes = std::size_t{64} * 1024;

struct sigaction previous;  // written once, before the handler can run

void say(std::string_view text) noexcept {
  (void)execute(make_call(SYS_write, 2, text.data(), text.size()));
}

void pass_on(int signal, siginfo_t* info, void* context) noexcept {
  if ((previous.sa_flags & SA_SIGINFO) != 0) return previous.sa_sigaction(signal, info, context);
  if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    return previous.sa_handler(signal);
  }
  // A fault cannot be ignored: it would happen again at once.
  struct sigaction fatal {};
  fatal.sa_handler = SIG_DFL;
  sigaction(signal, &fatal, nullptr);  // and the return repeats the fault
}

// Async-signal-safe: reads thread-local and fiber memory, writes to descriptor 2.
void on_fault(int signal, siginfo_t* info, void* context) {
  const FiberControl* fiber = Carrier::running_fiber();
  if (fiber == nullptr || !fiber->stack.in_guard(info->si_addr)) {
    return pass_on(signal, info, context);
  }
  say("flexsc: stack overflow in fiber '");
  say(fiber->name);
  say("': give it more with SpawnOptions::stack_bytes or RuntimeOptions::stack_bytes\n");
  say(seed_note());
  struct sigaction fatal {};
  fatal.sa_handler = SIG_DFL;
  sigaction(signal, &fatal, nullptr);
}

}  // namespace

void install_overflow_handler() noexcept {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, nullptr, &previous);
    sigaction(SIGSEGV, &action, nullptr);
  });
}

SignalStack::SignalStack() noexcept {
  stack_t current{};
  if (sigaltstack(nullptr, &current) != 0 || (current.ss_flags & SS_DISABLE) == 0) return;
  void* memory = mmap(nullptr, kSignalStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) return;  // an overflow is then a bare crash
  stack_t ours{};
  ours.ss_sp = memory;
  ours.ss_size = kSignalStackBytes;
  if (sigaltstack(&ours, nullptr) != 0) {
    munmap(memory, kSignalStackBytes);
    return;
  }
  memory_ = memory;
}

SignalStack::~SignalStack() {
  if (memory_ == nullptr) return;
  stack_t none{};
  none.ss_flags = SS_DISABLE;
  sigaltstack(&none, nullptr);
  munmap(memory_, kSignalStackBytes);
}

}  // namespace flexsc::detail
