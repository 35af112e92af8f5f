// SPDX-License-Identifier: MIT
#include "interleaving.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "carrier.hpp"

namespace flexsc::detail {
namespace {

constexpr const char* kVariable = "FLEXSC_SEED";

/// Written under a mutex when a runtime is made; read by messages that end the program, at worst
/// half of an old one and half of a new one.
std::array<char, 128> note{};

enum Stream : std::uint64_t { kOrder, kYields, kVictims, kStreams };

Random stream(std::uint64_t seed, std::size_t carrier, Stream which) noexcept {
  Random mixed(seed ^ (carrier * kStreams + which));
  return Random(mixed.next());
}

class ShuffledOrder final : public RunOrder {
 public:
  explicit ShuffledOrder(Random random) noexcept : random_(random) {}

  // No memory for it ends the program, as does no memory for anything else in noexcept.
  void push(Runnable& fiber) noexcept override { fibers_.push_back(&fiber); }
  [[nodiscard]] Runnable* pop() noexcept override {
    if (fibers_.empty()) return nullptr;
    std::swap(fibers_[random_.below(fibers_.size())], fibers_.back());
    Runnable* chosen = fibers_.back();
    fibers_.pop_back();
    return chosen;
  }
  [[nodiscard]] std::size_t size() const noexcept override { return fibers_.size(); }

 private:
  Random random_;
  std::vector<Runnable*> fibers_;
};

std::optional<std::uint64_t> seed_of_environment() {
  const char* value = ::secure_getenv(kVariable);
  if (value == nullptr) return std::nullopt;
  const std::string_view text(value);
  if (text == "random") {
    std::random_device device;
    return std::uint64_t{device()} << 32U | device();
  }
  std::uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), seed);
  if (error != std::errc() || end != text.end()) {
    throw std::system_error(EINVAL, std::generic_category(),
                            std::string(kVariable) + " is neither a number nor \"random\"");
  }
  return seed;
}

}  // namespace

constinit std::atomic<bool> interleaving{false};

std::uint64_t Random::next() noexcept {
  std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111eb;
  return z ^ (z >> 31U);
}

Interleaving::Interleaving(std::uint64_t seed, std::size_t carrier) noexcept
    : yields(stream(seed, carrier, kYields)), victims(stream(seed, carrier, kVictims)) {}

std::unique_ptr<RunOrder> shuffled(std::uint64_t seed, std::size_t carrier) {
  return std::make_unique<ShuffledOrder>(stream(seed, carrier, kOrder));
}

std::optional<std::uint64_t> seed_to_use(std::optional<std::uint64_t> option) {
  const std::optional<std::uint64_t> seed = option ? option : seed_of_environment();
  if (!seed) return seed;
  static std::mutex mutex;
  const std::scoped_lock lock(mutex);
  std::snprintf(note.data(), note.size(),
                "flexsc: interleavings are forced; %s=%llu repeats them\n", kVariable,
                static_cast<unsigned long long>(*seed));
  (void)std::fputs(note.data(), stderr);
  interleaving.store(true, std::memory_order_relaxed);  // the carriers' threads begin after this
  return seed;
}

const char* seed_note() noexcept {
  return note.data();
}

void perhaps_yield() {
  if (Carrier::running_fiber() != nullptr) Carrier::of_this_thread()->perhaps_yield();
}

}  // namespace flexsc::detail
