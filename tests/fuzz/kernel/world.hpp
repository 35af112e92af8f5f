// SPDX-License-Identifier: MIT
/// @file
/// What an input works with: descriptors, clients and memory, shared by its two threads.
#pragma once

#include <flexsc/uapi.h>
#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "bytes.hpp"

namespace flexsc_fuzz {

/// A client as an input sees it. The threads race with each other on purpose: a descriptor or an
/// address that the other thread has just taken away gives an error or a fault, see touch().
struct FuzzClient {
  std::atomic<int> fd{-1};
  std::atomic<std::uint8_t*> base{nullptr};
  std::atomic<std::size_t> bytes{0};  ///< mapped
};

/// Memory for arguments: at known places there is what calls commonly want.
struct Scratch {
  std::array<std::uint8_t, 4096> bytes{};
  std::array<std::uint8_t, 4096> out{};
  alignas(64) std::array<iovec, 2> vectors{};
  char path_a[8] = "a";
  char path_b[8] = "b";
  alignas(8) std::array<long, 4> nap{0, 200'000, 0, 0};
  alignas(8) std::array<std::uint8_t, 64> structure{};  // pollfds, events, limits
  std::atomic<std::uint32_t> word{0};                   // for futex
};

class World {
 public:
  static constexpr unsigned kGroups = 3;
  static constexpr unsigned kClients = 4;
  /// Of pipes, sockets and other things that calls can wait for.
  static constexpr unsigned kFiles = 12;

  World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  std::array<std::atomic<int>, kGroups> groups;
  std::array<FuzzClient, kClients> clients;
  std::array<std::atomic<int>, kFiles> files;
  Scratch scratch;
  /// Nothing more comes: who waits for something to do leaves.
  std::atomic<bool> over{false};

  /// Any descriptor.
  [[nodiscard]] int any_fd(Bytes& in) const;
  /// A value for an argument of a call: plausible, or any.
  [[nodiscard]] std::uint64_t argument(Bytes& in);
  /// A number of a call: one that matters, or any.
  [[nodiscard]] static std::uint32_t number(Bytes& in);
};

/// Runs body; a fault in it ends it and is forgotten. It must hold nothing that has to be given
/// back. Returns whether there was none.
bool touch(void (*body)(void*), void* argument);

template <class Body>
bool touch(Body&& body) {
  return touch([](void* given) { (*static_cast<Body*>(given))(); }, &body);
}

/// Before the first touch() of a process: faults elsewhere end it without a word.
void catch_faults();

}  // namespace flexsc_fuzz
