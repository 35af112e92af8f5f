// SPDX-License-Identifier: MIT
// A Google Benchmark program whose samples come out as pairs: both sides of a key by turns. The
// library's own random interleaving mixes all keys, so this runs one pair after the other.
#include <benchmark/benchmark.h>

int main(int argc, char** argv) {
  ::benchmark::Initialize(&argc, argv);
  if (::benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  ::benchmark::RunSpecifiedBenchmarks();
  ::benchmark::Shutdown();
  return 0;
}
