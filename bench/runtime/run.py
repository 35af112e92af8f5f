#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures the fiber runtime on this machine, beside Boost.Fiber and threads."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "tests/harness")]

# pylint: disable=wrong-import-position
import figures  # noqa: E402
import keys  # noqa: E402
from paths import BUILD, RIVALS, HarnessError  # noqa: E402

PROGRAM = BUILD / "bin/flexsc-bench-runtime"
SERVER_PROGRAM = BUILD / "bin/flexsc-bench-server"
PAIRS = 15
QUICK_PAIRS = 2
MEMORY_SAMPLES = 3
LIMIT_SECONDS = 300
MILLION_GIGABYTES = 6


def available_gigabytes() -> float:
    return next(int(line.split()[1]) / 1e6 for line in open("/proc/meminfo", encoding="ascii")
                if line.startswith("MemAvailable:"))


def ground(key: figures.Key) -> str:
    return f"{key.ground}, {os.cpu_count()} CPUs, Linux {os.uname().release}"


def sample(name: str, side: str) -> dict:
    """From a process of its own: neither side finds what the other has left."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sample.json"
        done = subprocess.run(
            [PROGRAM, f"--benchmark_filter=^{name}/{side}/", f"--benchmark_out={file}",
             "--benchmark_out_format=json"], check=False, capture_output=True, text=True,
            timeout=LIMIT_SECONDS)
        if done.returncode != 0 or not file.exists():
            raise HarnessError(f"{name}/{side} ended with {done.returncode}: {done.stderr[-500:]}")
        found = json.loads(file.read_text())["benchmarks"]
    if len(found) != 1:
        raise HarnessError(f"{name}/{side} gave {len(found)} samples")
    return found[0]


def value(name: str, side: str) -> float:
    """In ns per operation, or bytes."""
    found = sample(name, side)
    return found["bytes"] if "bytes" in found else found["real_time"] / found["operations"]


def served(name: str, quick: bool) -> dict:
    """Pairs of requests per second, from the program that compares servers."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "samples.json"
        done = subprocess.run(
            [SERVER_PROGRAM, *(["--quick"] if quick else []), f"--json={file}", name], check=False,
            capture_output=True, text=True, timeout=LIMIT_SECONDS,
            env={**os.environ, "PATH": f"{os.environ['PATH']}:{RIVALS}"})
        answer = json.loads(file.read_text()) if file.exists() else {"results": {}, "errors": {}}
    if name not in answer["results"]:
        raise HarnessError(answer["errors"].get(name, f"{SERVER_PROGRAM.name} ended with "
                                                f"{done.returncode}: {done.stderr[-500:]}"))
    return answer["results"][name]


def measure(name: str, quick: bool) -> dict:
    """What the arithmetic takes: pairs of neighbours in time, or values."""
    if name not in keys.SIDES:
        return served(name, quick)
    if name == "parked_million" and available_gigabytes() < MILLION_GIGABYTES:
        raise HarnessError(f"parked_million: this machine has no {MILLION_GIGABYTES} GB of free memory")
    pairs = QUICK_PAIRS if quick else PAIRS
    other = keys.SIDES[name]
    if other is None:
        values = [value(name, "flexsc") for _ in range(min(pairs, MEMORY_SAMPLES))]
        return {"values": values, "about": beside(name)}
    return {"pairs": [[value(name, "flexsc"), value(name, other)] for _ in range(pairs)]}


def beside(name: str) -> dict[str, str]:
    """What Boost.Fiber takes, which may not get as far."""
    if name not in keys.BESIDE:
        return {}
    boost = sample(name, "boost")
    return {f"with {keys.BOOST}": f"{boost['bytes']:,.0f} each of {boost['fibers']:,.0f}"}


def named_sides(name: str) -> dict[str, object]:
    """Whose the two sides of a pair are, and in what."""
    if name not in keys.SIDES:
        return {"side_names": ["FlexSC", "nginx"], "side_unit": "requests per second"}
    other = keys.SIDES[name]
    return {} if other is None else {"side_names": ["FlexSC", keys.OTHERS[other]],
                                     "side_unit": keys.SIDE_UNITS[name]}


def parse(arguments: list[str]) -> argparse.Namespace:
    listed = "\n".join(f"  {key.name:<14} {key.what}" for key in keys.KEYS.values())
    parser = argparse.ArgumentParser(
        prog="./run bench runtime", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"keys (default: all):\n{listed}\n\n"
               "The status is 0 if everything could be measured, whatever the figures are.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--quick", action="store_true",
                        help="a few samples only: whether it works, not how well")
    parser.add_argument("keys", nargs="*", metavar="KEY", help="what to measure")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.keys if name not in keys.KEYS]
    if unknown:
        parser.error(f"there is no key {', '.join(unknown)}; --help lists them")
    options.keys = list(dict.fromkeys(options.keys)) or list(keys.KEYS)
    return options


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    if os.getloadavg()[0] > 0.5:
        print(f"this machine is busy (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs): "
              "expect a wide spread", flush=True)
    measured: list[figures.Measured] = []
    errors = []
    for name in options.keys:
        key = keys.KEYS[name]
        print(f"  {name:<14} about {figures.duration(key.seconds)}", flush=True)
        try:
            measured.append((key, measure(name, options.quick)))
        except (HarnessError, OSError, subprocess.TimeoutExpired) as error:
            errors.append(f"FAILED: {name}: {error}")
    if options.json is not None:
        found = {key.name: {**figures.entry(key, result, ground(key)), **figures.details_of(result),
                            **named_sides(key.name)} for key, result in measured}
        options.json.write_text(figures.as_text(found))
    parts = [figures.lines(measured),
             [figures.explanation(key, result) for key, result in measured], errors]
    print("\n" + "\n\n".join("\n".join(part) for part in parts if part))
    return 1 if errors else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HarnessError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
