// SPDX-License-Identifier: MIT
// A Google Benchmark program. run.py runs it once per sample, both sides of a key by turns, since
// the library's own random interleaving would mix all keys.
#include <benchmark/benchmark.h>

int main(int argc, char** argv) {
  ::benchmark::Initialize(&argc, argv);
  if (::benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  ::benchmark::RunSpecifiedBenchmarks();
  ::benchmark::Shutdown();
  return 0;
}
