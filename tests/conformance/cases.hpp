// SPDX-License-Identifier: MIT
/// @file
/// The cases: for each call, every combination of its arguments' variants.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "flexsc/call.hpp"
#include "world.hpp"

namespace flexsc::conformance {

/// More than any file has, and than any call moves.
inline constexpr std::int64_t kHuge = std::int64_t{1} << 62;

/// One variant of an argument, by name.
struct Value {
  std::string name;
  std::function<std::uint64_t(World&)> make;
};
using Values = std::vector<Value>;

/// What of a case's outcome is different each time for a reason, and is not compared.
struct Mask {
  std::string reason;
  bool result = false;
  /// Clears the bytes in Memory::out().
  std::function<void(std::uint8_t* out)> bytes;
};

/// The combinations of these variants. Several tables can be of one call.
struct Table {
  std::string call;  ///< its name, and more to tell tables of one call apart: "read:late"
  long nr;
  std::vector<Values> arguments;
  Mask mask{};
};

/// One of them.
struct Case {
  std::string name;
  const Table* table;
  std::array<std::size_t, 6> variant{};  ///< for each argument that the table has
};

/// The name of a table up to its colon.
[[nodiscard]] std::string call_of(const Table& table);
/// All, in a fixed order.
[[nodiscard]] const std::vector<Table>& tables();
[[nodiscard]] std::vector<Case> cases_of(const Table& table);
/// The call of a case in this world, whose descriptors, files and memory it makes.
[[nodiscard]] Call make(const Case& one, World& world);

// The tables by subject.
void add_transfers(std::vector<Table>& to);
void add_vectors(std::vector<Table>& to);
void add_sockets(std::vector<Table>& to);
void add_files(std::vector<Table>& to);
void add_descriptors(std::vector<Table>& to);
void add_waits(std::vector<Table>& to);

// Variants.

inline Value number(std::string name, std::uint64_t value) {
  return {std::move(name), [value](World&) { return value; }};
}
inline std::uint64_t address(const void* at) {
  return reinterpret_cast<std::uint64_t>(at);
}
inline Value pointer(std::string name, std::function<const void*(World&)> at) {
  return {std::move(name), [at = std::move(at)](World& world) { return address(at(world)); }};
}
/// Descriptors of these kinds.
inline Values fds(std::initializer_list<const char*> kinds) {
  Values all;
  for (const char* kind : kinds) {
    all.push_back({kind, [kind](World& world) {
                     return static_cast<std::uint64_t>(world.descriptor(kind));
                   }});
  }
  return all;
}
/// Names of files, of this text; "0": no address.
inline Values paths(std::initializer_list<const char*> names) {
  Values all;
  for (const char* name : names) {
    const std::string text = name;
    all.push_back({text.empty()        ? "no_name"
                   : text.size() > 100 ? "long"
                                       : text,
                   [text](World& world) {
                     world.need_files();
                     return address(world.place_text(text));
                   }});
  }
  all.push_back(number("nullptr", 0));
  all.push_back(pointer("nowhere", [](World& world) {
    world.need_files();
    return world.memory().nowhere();
  }));
  return all;
}
/// A structure that the call reads, and writes perhaps.
template <class T>
Value structure(std::string name, T value) {
  return {std::move(name), [value](World& world) { return address(world.place(value)); }};
}

inline Value none() {
  return number("none", 0);
}
inline Value nowhere() {
  return pointer("nowhere", [](World& world) { return world.memory().nowhere(); });
}
inline Value kernel() {
  return number("kernel", 0xffff888000000000ULL);
}
inline Value out() {
  return pointer("out", [](World& world) { return world.memory().out(); });
}
inline Value data() {
  return pointer("data", [](World& world) { return world.memory().data(); });
}
/// Five bytes before the end of what is mapped.
inline Value edge() {
  return pointer("edge", [](World& world) { return world.memory().edge(5); });
}
/// To be written to: none of it can be.
inline Value read_only() {
  return pointer("read_only", [](World& world) { return world.memory().data(); });
}
inline Values just(std::uint64_t value) {
  return {number(std::to_string(static_cast<std::int64_t>(value)), value)};
}
inline Values numbers(std::initializer_list<std::int64_t> values) {
  Values all;
  for (const std::int64_t value : values) {
    all.push_back(number(std::to_string(value), static_cast<std::uint64_t>(value)));
  }
  return all;
}
/// Numbers of which the name says more.
inline Values named(std::initializer_list<std::pair<const char*, std::int64_t>> values) {
  Values all;
  for (const auto& [name, value] : values) {
    all.push_back(number(name, static_cast<std::uint64_t>(value)));
  }
  return all;
}

}  // namespace flexsc::conformance
