// SPDX-License-Identifier: MIT
// A run order of one's own: tenants take turns, however many fibers each has. Two tenants compute
// on one carrier, one with nine fibers and the other with one; half of the turns go to each.
#include <sched.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <memory>
#include <vector>

#include "flexsc/fiber.hpp"
#include "flexsc/run_order.hpp"

namespace {

constexpr std::size_t kTenants = 2;

/// A queue for each tenant, that is for each tag, and one after the other has its turn.
class ByTenant final : public flexsc::RunOrder {
 public:
  void push(flexsc::Runnable& fiber) noexcept override {
    Queue& queue = queues_[fiber.tag() % kTenants];
    fiber.links.next = nullptr;
    (queue.last != nullptr ? queue.last->links.next : queue.first) = &fiber;
    queue.last = &fiber;
    ++size_;
  }

  flexsc::Runnable* pop() noexcept override {
    for (std::size_t i = 0; i < kTenants; ++i) {
      Queue& queue = queues_[turn_++ % kTenants];
      flexsc::Runnable* fiber = queue.first;
      if (fiber == nullptr) continue;
      queue.first = fiber->links.next;
      if (queue.first == nullptr) queue.last = nullptr;
      --size_;
      return fiber;
    }
    return nullptr;
  }

  [[nodiscard]] std::size_t size() const noexcept override { return size_; }

 private:
  struct Queue {
    flexsc::Runnable* first = nullptr;
    flexsc::Runnable* last = nullptr;
  };
  std::array<Queue, kTenants> queues_{};
  std::size_t turn_ = 0;
  std::size_t size_ = 0;
};

}  // namespace

int main() {
  constexpr int kTurns = 10'000;
  flexsc::RuntimeOptions options;
  options.engine.kind = flexsc::EngineKind::direct;
  options.carrier_cpus = {::sched_getcpu()};
  options.order = [] { return std::make_unique<ByTenant>(); };
  flexsc::Runtime runtime(options);
  std::array<int, kTenants> turns{};  // one carrier: no two fibers at the same time
  runtime
      .spawn([&] {
        std::vector<flexsc::Fiber> fibers;
        for (std::uint64_t tenant : {0, 0, 0, 0, 0, 0, 0, 0, 0, 1}) {
          fibers.push_back(runtime.spawn(
              [&turns, tenant] {
                while (turns[0] + turns[1] < kTurns) {
                  ++turns[tenant];
                  flexsc::this_fiber::yield();
                }
              },
              {.name = "tenant " + std::to_string(tenant), .tag = tenant}));
        }
        for (flexsc::Fiber& fiber : fibers) fiber.join();
      })
      .join();
  std::printf("turns: %d and %d\n", turns[0], turns[1]);
}
