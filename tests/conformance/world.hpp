// SPDX-License-Identifier: MIT
/// @file
/// The state in which a case makes its call: descriptors, files and memory, the same each time.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

namespace flexsc::conformance {

/// Memory for arguments, at one place for the whole run, so that addresses are the same too.
class Memory {
 public:
  static constexpr std::size_t kPage = 4096;
  static constexpr std::size_t kOut = 2 * kPage;    ///< for what a call writes, filled with 0xa5
  static constexpr std::size_t kBuild = 2 * kPage;  ///< structures and names
  static constexpr std::size_t kEdge = kPage;       ///< the page before the one that is not there
  static constexpr std::size_t kData = 64 * kPage;  ///< can be read only; a pattern
  static constexpr std::size_t kWritable = kOut + kBuild + kEdge;

  Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory();

  [[nodiscard]] std::uint8_t* out() const { return base_; }
  [[nodiscard]] std::uint8_t* build() const { return base_ + kOut; }
  /// So many bytes before the end of what is there.
  [[nodiscard]] std::uint8_t* edge(std::size_t bytes) const { return base_ + kWritable - bytes; }
  /// Nothing is mapped there.
  [[nodiscard]] std::uint8_t* nowhere() const { return base_ + kWritable + 64; }
  [[nodiscard]] std::uint8_t* data() const { return base_ + kWritable + kPage; }

  void fill();

 private:
  std::uint8_t* base_;
};

/// Everything that a call can touch. What is asked for first gets the lowest descriptors, so two
/// worlds that are asked for the same are the same. One at a time.
class World {
 public:
  /// `first` is the lowest descriptor that is not in use.
  World(Memory& memory, int first);
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World();

  [[nodiscard]] Memory& memory() const { return memory_; }
  /// A descriptor of this kind, see kinds.cpp; made when it is first asked for.
  [[nodiscard]] int descriptor(const std::string& kind);
  /// The working directory, with the files of this world, from now on.
  void need_files();

  /// A copy of a structure in memory() that the call can read and write.
  template <class T>
  T* place(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    void* const at = reserve(sizeof(T), alignof(T));
    std::memcpy(at, &value, sizeof(T));
    return static_cast<T*>(at);
  }
  char* place_text(const std::string& text);

  // For the makers of descriptors.

  /// Closed with the world, and looked at in state().
  int keep(int fd);
  /// What somebody else does while the call is made: a moment before it, in it or after it, which
  /// must make no difference to its result.
  void meanwhile(std::function<void()> action);

  /// Around the call: others act in between.
  void begin();
  void finish();
  /// Everything that can be seen of the state after the call, and what is left to be read, in
  /// words. Takes it.
  [[nodiscard]] std::string state();

 private:
  void* reserve(std::size_t bytes, std::size_t alignment);

  Memory& memory_;
  int first_;
  std::size_t used_ = 0;  ///< of Memory::build()
  std::map<std::string, int> descriptors_;
  std::vector<int> kept_;
  std::vector<std::function<void()>> actions_;
  std::thread others_;
  bool files_ = false;
};

/// Makes a descriptor for a world. @throws std::out_of_range for a kind that there is not
int make_descriptor(World& world, const std::string& kind);

}  // namespace flexsc::conformance
