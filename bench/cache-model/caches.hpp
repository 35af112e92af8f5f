// SPDX-License-Identifier: MIT
/// @file
/// The model: set-associative caches and TLBs with least-recently-used replacement, as large as
/// those of a core of Intel's Skylake server line. Nothing is prefetched, nothing takes time, and
/// nobody else uses the core: it counts what has to be fetched again, and is a model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace flexsc::cache_model {

inline constexpr unsigned kLineBits = 6;

/// Keys (lines or pages) that were used last. Not thread-safe.
class Cache {
 public:
  /// `sets` is a power of two.
  Cache(std::size_t sets, std::size_t ways) : mask_(sets - 1), ways_(ways), keys_(sets * ways, 0) {}

  /// Uses a key that is not 0. Returns whether it was there.
  bool use(std::uint64_t key) {
    std::uint64_t* const set = &keys_[(key & mask_) * ways_];
    std::uint64_t carried = key;
    // The set is in order of use: what was used last comes first, others move down.
    for (std::size_t i = 0; i < ways_; ++i) {
      std::swap(carried, set[i]);
      if (carried == key) return true;
    }
    return false;
  }

 private:
  std::uint64_t mask_;
  std::size_t ways_;
  std::vector<std::uint64_t> keys_;
};

/// Of one side, user or kernel.
struct Counts {
  std::uint64_t instructions = 0;
  std::uint64_t loads_and_stores = 0;
  std::uint64_t l1i_misses = 0;
  std::uint64_t l1d_misses = 0;
  std::uint64_t l2_misses = 0;
  std::uint64_t itlb_misses = 0;
  std::uint64_t dtlb_misses = 0;
  std::uint64_t stlb_misses = 0;  ///< of the second level, which instructions and data share
};

/// One core.
class Core {
 public:
  void fetch(std::uint64_t line, std::uint64_t page, Counts& counts) {
    if (!itlb_.use(page)) translate(page, counts.itlb_misses, counts);
    if (!l1i_.use(line)) load(line, counts.l1i_misses, counts);
  }
  void access(std::uint64_t line, std::uint64_t page, Counts& counts) {
    ++counts.loads_and_stores;
    if (!dtlb_.use(page)) translate(page, counts.dtlb_misses, counts);
    if (!l1d_.use(line)) load(line, counts.l1d_misses, counts);
  }

 private:
  void translate(std::uint64_t page, std::uint64_t& misses, Counts& counts) {
    ++misses;
    if (!stlb_.use(page)) ++counts.stlb_misses;
  }
  void load(std::uint64_t line, std::uint64_t& misses, Counts& counts) {
    ++misses;
    if (!l2_.use(line)) ++counts.l2_misses;
  }

  Cache l1i_{64, 8};     // 32 KiB
  Cache l1d_{64, 8};     // 32 KiB
  Cache l2_{1024, 16};   // 1 MiB
  Cache itlb_{16, 8};    // 128 pages
  Cache dtlb_{16, 4};    // 64 pages
  Cache stlb_{128, 12};  // 1536 pages
};

}  // namespace flexsc::cache_model
