// SPDX-License-Identifier: MIT
#include "cases.hpp"

namespace flexsc::conformance {

std::string call_of(const Table& table) {
  return table.call.substr(0, table.call.find(':'));
}

const std::vector<Table>& tables() {
  static const std::vector<Table> all = [] {
    std::vector<Table> made;
    add_transfers(made);
    add_vectors(made);
    add_sockets(made);
    add_files(made);
    add_descriptors(made);
    add_waits(made);
    return made;
  }();
  return all;
}

std::vector<Case> cases_of(const Table& table) {
  std::vector<Case> all{{table.call, &table}};
  for (std::size_t i = 0; i < table.arguments.size(); ++i) {
    std::vector<Case> more;
    for (const Case& before : all) {
      for (std::size_t variant = 0; variant < table.arguments[i].size(); ++variant) {
        Case next = before;
        next.name += '/' + table.arguments[i][variant].name;
        next.variant[i] = variant;
        more.push_back(std::move(next));
      }
    }
    all = std::move(more);
  }
  return all;
}

Call make(const Case& one, World& world) {
  std::array<std::uint64_t, 6> values{};
  for (std::size_t i = 0; i < one.table->arguments.size(); ++i) {
    values[i] = one.table->arguments[i][one.variant[i]].make(world);
  }
  return make_call(one.table->nr, values[0], values[1], values[2], values[3], values[4], values[5]);
}

}  // namespace flexsc::conformance
