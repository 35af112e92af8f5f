// SPDX-License-Identifier: MIT
/// @file
/// Sets of a channel's entries.
#pragma once

#include <array>
#include <bit>
#include <utility>

#include "flexsc/uapi.h"
#include "shared_word.hpp"

namespace flexsc::detail {

constexpr Word bit_of(unsigned index) noexcept {
  return Word{1} << index;
}
/// The lowest bit of a word that is not 0.
inline unsigned lowest(Word word) noexcept {
  return static_cast<unsigned>(std::countr_zero(word));
}

/// A set of entries: a word per page, and above them, in two steps, which words are not 0, so that
/// finding something costs the same with 1 page and with 256. Not synchronised.
class EntrySet {
 public:
  [[nodiscard]] bool empty() const noexcept { return groups_ == 0; }
  [[nodiscard]] unsigned size() noexcept {
    unsigned count = 0;
    each_page([&](unsigned page) { count += static_cast<unsigned>(std::popcount(words_[page])); });
    return count;
  }
  /// The entries of one page.
  [[nodiscard]] Word of(unsigned page) const noexcept { return words_[page]; }
  /// The lowest page that has an entry; there must be one.
  [[nodiscard]] unsigned first_page() const noexcept {
    const unsigned group = lowest(groups_);
    return group * kGroup + lowest(nonempty_[group]);
  }

  void add(unsigned page, Word bits) noexcept {
    words_[page] |= bits;
    if (bits == 0) return;
    nonempty_[page / kGroup] |= bit_of(page % kGroup);
    groups_ |= bit_of(page / kGroup);
  }
  void remove(unsigned page, Word bits) noexcept {
    words_[page] &= ~bits;
    if (words_[page] == 0) forget(page);
  }
  /// Removes and returns the entries of one page.
  Word take(unsigned page) noexcept {
    forget(page);
    return std::exchange(words_[page], 0);
  }

  /// Calls visit(page) for the pages that have entries, in ascending order, until it
  /// returns true; whether it did. It may change the set at that page.
  template <class Visit>
  bool any_page(Visit visit) {
    for (Word groups = groups_; groups != 0; groups &= groups - 1) {
      const unsigned group = lowest(groups);
      for (Word pages = nonempty_[group]; pages != 0; pages &= pages - 1) {
        if (visit(group * kGroup + lowest(pages))) return true;
      }
    }
    return false;
  }
  template <class Visit>
  void each_page(Visit visit) {
    any_page([&](unsigned page) {
      visit(page);
      return false;
    });
  }

 private:
  static constexpr unsigned kGroup = 64;

  void forget(unsigned page) noexcept {
    Word& pages = nonempty_[page / kGroup];
    pages &= ~bit_of(page % kGroup);
    if (pages == 0) groups_ &= ~bit_of(page / kGroup);
  }

  std::array<Word, FLEXSC_MAX_PAGES> words_{};
  std::array<Word, FLEXSC_MAX_PAGES / kGroup> nonempty_{};
  Word groups_ = 0;
};

}  // namespace flexsc::detail
