// SPDX-License-Identifier: MIT
// flexsc-bench-kernel: takes the samples for ./run bench kernel, in a guest.
#include "measurements.hpp"

int main(int argc, char** argv) {
  using namespace flexsc::bench;
  return run_program(argc, argv,
                     {{"flush64", flush64},
                      {"flush1024", flush1024},
                      {"breakeven_flush", breakeven_flush},
                      {"breakeven_wait", breakeven_wait},
                      {"post_reap", post_reap},
                      {"copy4096", copy4096},
                      {"copy512", copy512},
                      {"breakeven_other", breakeven_other},
                      {"single_other", single_other},
                      {"workers2", workers2},
                      {"workers", workers},
                      {"indirect", indirect},
                      {"parked", parked},
                      {"table", table},
                      {"copy_sizes", copy_sizes},
                      // Last: what is left of a ring interrupts a later flush.
                      {"sizes", sizes},
                      {"writes60", writes60},
                      {"sizes_other", sizes_other}});
}
