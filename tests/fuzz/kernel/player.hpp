// SPDX-License-Identifier: MIT
/// @file
/// One thread of an input: the operations.
#pragma once

#include <functional>

#include "bytes.hpp"
#include "world.hpp"

namespace flexsc_fuzz {

class Player {
 public:
  /// aside: runs these bytes in the other thread, or does nothing.
  Player(World& world, int program, std::function<void(std::span<const std::uint8_t>)> aside)
      : world_(world), program_(program), aside_(std::move(aside)) {}

  /// Until the bytes are used up.
  void play(Bytes in);

  // Also for what every input begins with.
  void open_group(unsigned slot, int fd);
  void create_client(unsigned slot, int group, std::uint32_t pages);
  void map(FuzzClient& client, std::size_t bytes, int protection, int flags, long offset);

 private:
  void step(Bytes& in);

  // Set-up (player_setup.cpp).
  void group(Bytes& in);
  void pool(Bytes& in);
  void create_client(Bytes& in);
  void map(Bytes& in);
  void unmap(Bytes& in);
  void protect(Bytes& in);
  void close(Bytes& in);
  void duplicate(Bytes& in);
  void raw_ioctl(Bytes& in);
  void stats(Bytes& in);
  void policy(Bytes& in);

  // The shared pages and the commands (player_pages.cpp).
  void fill(Bytes& in);
  void chain(Bytes& in);
  void post(Bytes& in);
  void scribble(Bytes& in);
  void take(Bytes& in);
  void doorbell(Bytes& in);
  void flush(Bytes& in);
  void notify(Bytes& in);
  void wait(Bytes& in);
  void raw_command(Bytes& in);
  void cancel(Bytes& in);

  // The process (player_process.cpp).
  void feed(Bytes& in);
  void fork(Bytes& in);
  void pass(Bytes& in);
  void change_identity(Bytes& in);
  void direct_call(Bytes& in);
  void nap(Bytes& in);
  void aside(Bytes& in);
  void leave(Bytes& in);

  FuzzClient& a_client(Bytes& in) { return world_.clients[in.below(World::kClients)]; }
  void fill_entry(Bytes& in, FuzzClient& client, unsigned page, unsigned bit, std::uint16_t flags);

  World& world_;
  int program_;
  std::function<void(std::span<const std::uint8_t>)> aside_;
};

}  // namespace flexsc_fuzz
