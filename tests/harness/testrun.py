# SPDX-License-Identifier: MIT
"""`./run test`: all parts one after the other, and the closing count."""

import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
import unittest
from collections.abc import Callable
from pathlib import Path

import build
import counts
import lint
import suite
from paths import BUILD, HARNESS, ROOT, HarnessError

CASE_SECONDS = 120
BENCH_NAME = "bench"


def memory_layout_prefix(variant: str) -> list[str]:
    """ThreadSanitizer of Debian 12 cannot map its shadow where addresses are more random."""
    bits = Path("/proc/sys/vm/mmap_rnd_bits")
    if variant == "tsan" and bits.exists() and int(bits.read_text()) > 28:
        return ["setarch", "x86_64", "-R"]
    return []


def ctest(variant: str, pattern: str = "") -> counts.Counts:
    prefix = memory_layout_prefix(variant)
    dest = build.build(variant, prefix)
    results = dest / "ctest.xml"
    results.unlink(missing_ok=True)
    command = [*prefix, "ctest", "--test-dir", str(dest), "--output-on-failure", "--no-tests=error",
               f"-j{os.cpu_count() or 1}", "--timeout", str(CASE_SECONDS),
               "--output-junit", str(results), *(["-R", pattern] if pattern else [])]
    sys.stdout.flush()
    status = subprocess.run(command, check=False).returncode
    total = counts.from_junit(results) if results.exists() else counts.Counts()
    total.failures = [f"{variant}: {name}" for name in total.failures]
    if status != 0 and not total.failed:
        total.fail(f"{variant}: ctest ended with status {status} and no failed test")
    if total.passed == 0 and not total.failed:
        total.fail(f"{variant}: no test ran")
    return total


def harness(pattern: str = "") -> counts.Counts:
    loader = unittest.TestLoader()
    if pattern:
        loader.testNamePatterns = [f"*{pattern}*"]
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(
        loader.discover(str(HARNESS), top_level_dir=str(HARNESS)))
    total = counts.Counts()
    # A test fails once, however many of its subtests do.
    for name in {getattr(case, "test_case", case).id()
                 for case, _ in [*result.failures, *result.errors]}:
        total.fail(f"harness: {name}")
    for case, reason in result.skipped:
        total.skip(f"{case.id()}: {reason}")
    total.passed = result.testsRun - total.failed - total.skipped
    return total


def models(_pattern: str = "") -> counts.Counts:
    """A line per model and variant; the script says FAILED where spin and the model disagree."""
    result = subprocess.run([ROOT / "tests/models/check.sh", BUILD / "models"], check=False,
                            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    print(result.stdout, flush=True)
    total = counts.Counts()
    for line in result.stdout.splitlines():
        if "FAILED" in line:
            total.fail(f"models: {line}")
        elif ": holds" in line or "is caught" in line:
            total.passed += 1
    if result.returncode and not total.failed:
        total.fail(f"models: check.sh ended with status {result.returncode}")
    return total


def guest(pattern: str = "") -> counts.Counts:
    build.build("plain")
    total = suite.run(pattern)
    if pattern in BENCH_NAME:
        total.add(bench())
    return total


def bench() -> counts.Counts:
    """All measurements from end to end: that they work and what they leave, never how fast."""
    total = counts.Counts()
    with tempfile.TemporaryDirectory() as folder:
        print(f"\n-- {BENCH_NAME}", flush=True)
        status = subprocess.run([sys.executable, ROOT / "bench/all.py", "--quick", "--out", folder],
                                check=False).returncode
        file = Path(folder) / "results.json"
        found = json.loads(file.read_text())["results"] if file.exists() else {}
        report = Path(folder) / "report.html"
        pictures = report.read_text().count("data:image/png") if report.exists() else 0
    figure = found.get("kernel", {}).get("flush64", {})
    if status:
        total.fail(f"{BENCH_NAME}: exit {status}")
    elif not {"value", "unit", "spread", "pairs", "ground"} <= set(figure):
        total.fail(f"{BENCH_NAME}: a figure of {sorted(figure)}")
    elif not isinstance(figure["value"], float) or pictures < 3:
        total.fail(f"{BENCH_NAME}: {figure['value']}, {pictures} pictures")
    else:
        total.passed += 1
    return total


PARTS: dict[str, Callable[[str], counts.Counts]] = {
    "lint": lint.run,
    "harness": harness,
    "models": models,
    "unit": lambda pattern: ctest("plain", pattern),
    "asan": lambda pattern: ctest("asan", pattern),
    "tsan": lambda pattern: ctest("tsan", pattern),
    "guest": guest,
}


def run_part(name: str, pattern: str) -> counts.Counts:
    print(f"\n==== {name} ====", flush=True)
    begun = time.monotonic()
    try:
        total = PARTS[name](pattern)
    except HarnessError as error:
        print(f"error: {error}", flush=True)
        total = counts.Counts()
        total.fail(f"{name}: {error}")
    except Exception:  # a defect of the harness; the other parts and the count still follow
        traceback.print_exc(file=sys.stdout)
        total = counts.Counts()
        total.fail(f"{name}: the harness failed")
    print(f"==== {name}: {total.line()} ({time.monotonic() - begun:.0f} s)", flush=True)
    return total


def close(total: counts.Counts) -> int:
    """The last line is the count and nothing else."""
    print()
    for name in total.skips:
        print(f"skipped: {name}")
    for name in total.failures:
        print(f"FAILED: {name}")
    print(total.line(), flush=True)
    return 1 if total.failed or not total.passed else 0


def main(arguments: list[str]) -> int:
    names = arguments[:1] or list(PARTS)
    if names[0] not in PARTS:
        sys.exit(f"error: ./run test [{'|'.join(PARTS)}] [PATTERN]; there is no part {names[0]}")
    total = counts.Counts()
    for name in names:
        total.add(run_part(name, arguments[1] if len(arguments) > 1 else ""))
    return close(total)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
