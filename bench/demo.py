#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the ways to serve HTTP: threads, a pool, event loops, batch segments and fibers.

One page of 4729 bytes is served to 50 connections of wrk, first in a guest with the kernel
module, then on this machine without it. Before anything is measured, each model has served
every file of the site byte for byte."""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = Path(os.environ.get("FLEXSC_BUILD_DIR", ROOT / "build"))
BASELINE = ("epoll", "none")
# Whose fibers the report's sentence is about: the first one that was measured.
ENGINES = ("kernel", "uring", "threads")


@dataclass(frozen=True)
class Effort:
    """How long to measure on one ground."""

    rounds: int
    seconds: int


QUICK = {"guest": Effort(1, 2), "native": Effort(3, 1)}
FULL = {"guest": Effort(3, 4), "native": Effort(5, 4)}
# From the moment the guest is up; models that are slow there still end in a few seconds.
GUEST_LIMIT_SECONDS = {1: 130, 3: 400}


class DemoError(Exception):
    """The text says what failed and what to do."""


def measure_arguments(ground: str, effort: Effort, result: str) -> list[str]:
    return ["--ground", ground, "--rounds", str(effort.rounds), "--seconds", str(effort.seconds),
            "--json", result]


def load(path: Path, status: int, ground: str) -> dict:
    if not path.exists():
        raise DemoError(f"the {ground} ground gave no result (status {status}): see its output above")
    return json.loads(path.read_text())


def run_native(effort: Effort) -> tuple[dict, int]:
    if not (BUILD / "bin/flexsc-demo").exists():
        raise DemoError(f"there is no flexsc-demo in {BUILD}/bin: run `./run build`")
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "native.json"
        command = [BUILD / "bin/flexsc-demo", *measure_arguments("native", effort, str(result))]
        status = subprocess.run(command, check=False).returncode
        return load(result, status, "native"), status


def run_guest(effort: Effort, kernel: str) -> tuple[dict, int]:
    wrk = shutil.which("wrk")
    if wrk is None:
        raise DemoError("wrk is not installed: run `./run setup`")
    with tempfile.TemporaryDirectory() as folder:
        # One CPU each for the carrier, the worker and the client; more would only make the
        # CPUs of the guest wait for those of this machine.
        command = [ROOT / "run", "guest", "--kernel", kernel, "--cpus", "3",
                   "--timeout", str(GUEST_LIMIT_SECONDS[effort.rounds]), "--out", folder,
                   "--file", f"{wrk}:/usr/local/bin/wrk", "--",
                   "flexsc-demo", *measure_arguments("guest", effort, "/out/guest.json")]
        status = subprocess.run(command, check=False, cwd=ROOT).returncode
        return load(Path(folder) / "guest.json", status, "guest"), status


@dataclass(frozen=True)
class Row:
    """One model on one ground: medians over the rounds."""

    ground: str
    model: str
    engine: str
    rate: float
    relative: float  # of epoll's rate, median of the ratios within each round
    p50_us: float
    p99_us: float
    crossings: float
    errors: int


def rows_of(runs: list[dict]) -> list[Row]:
    baseline = {(run["ground"], run["round"]): run["requests_per_s"]
                for run in runs if (run["model"], run["engine"]) == BASELINE}
    rows = []
    for side in dict.fromkeys((run["ground"], run["model"], run["engine"]) for run in runs):
        mine = [run for run in runs if (run["ground"], run["model"], run["engine"]) == side]

        def median(key: str) -> float:
            return statistics.median(run[key] for run in mine)

        ratios = [run["requests_per_s"] / baseline[side[0], run["round"]] for run in mine]
        rows.append(Row(*side, median("requests_per_s"), statistics.median(ratios),
                        median("p50_us"), median("p99_us"), median("crossings_per_request"),
                        sum(run["errors"] for run in mine)))
    return rows


def milliseconds(us: float) -> str:
    return f"{us / 1000:.2f} ms" if us < 100_000 else f"{us / 1000:.0f} ms"


def table(rows: list[Row]) -> str:
    cells = [["ground", "model", "engine", "requests/s", "p50", "p99", "crossings", "errors"],
             ["", "", "", "of epoll's", "", "", "per request", ""]]
    cells += [[row.ground, row.model, "-" if row.engine == "none" else row.engine,
               f"{row.relative:.2f} x", milliseconds(row.p50_us), milliseconds(row.p99_us),
               f"{row.crossings:.3f}", str(row.errors)] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = ["  ".join(text.ljust(width) if i < 3 else text.rjust(width)
                       for i, (text, width) in enumerate(zip(line, widths, strict=True)))
             for line in cells]
    rule = "-" * len(lines[0])
    grounds = [row.ground for row in rows]
    body = []
    for i, line in enumerate(lines[2:]):
        if i == 0 or grounds[i] != grounds[i - 1]:
            body.append(rule)
        body.append(line.rstrip())
    return "\n".join([line.rstrip() for line in lines[:2]] + body)


def name(row: Row) -> str:
    return row.model if row.engine == "none" else f"{row.model}/{row.engine}"


def compared(ratio: float) -> str:
    if 0.95 <= ratio <= 1.05:
        return "about as many requests per second as epoll"
    return f"{ratio:.2f} times the requests per second of epoll"


def sentence(rows: list[Row], ground: str) -> str:
    """What was seen on a ground: of the fibers, of the winner, of the errors."""
    here = [row for row in rows if row.ground == ground]
    if not here:
        return f"Nothing was measured on the {ground} ground."
    best = max(here, key=lambda row: row.relative)
    epoll = next(row for row in here if (row.model, row.engine) == BASELINE)
    fibers = min((row for row in here if row.model == "fibers"),
                 key=lambda row: ENGINES.index(row.engine), default=None)
    where = "In the guest," if ground == "guest" else "On this machine, without the module,"
    parts = []
    if fibers is not None:
        parts.append(f"{name(fibers)} crossed into the kernel {fibers.crossings:.3f} times per "
                     f"request where epoll did {epoll.crossings:.1f} times, and served "
                     f"{compared(fibers.relative)}")
    if best is epoll:
        parts.append("no model was faster than epoll")
    elif best is not fibers:
        parts.append(f"{name(best)} was fastest with {best.relative:.2f} times epoll's rate")
    errors = sum(row.errors for row in here)
    parts.append("no request failed" if errors == 0 else f"{errors} requests failed")
    return f"{where} {'; '.join(parts)}."


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run demo", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything: a few minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all runs to FILE")
    parser.add_argument("--kernel", default="6.1", metavar="K", help="of the guest: 6.1 or 6.12")
    parser.add_argument("--ground", choices=["guest", "native"], help="only this one")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    efforts = QUICK if options.quick else FULL
    begun = time.monotonic()
    merged: dict = {"runs": [], "skipped": []}
    troubles = []
    for ground in [options.ground] if options.ground else ["guest", "native"]:
        print(f"\n== {ground}: {efforts[ground].rounds} round(s) of {efforts[ground].seconds} s "
              "per model", flush=True)
        try:
            if ground == "guest":
                result, status = run_guest(efforts[ground], options.kernel)
            else:
                result, status = run_native(efforts[ground])
        except DemoError as error:
            troubles.append(str(error))
            continue
        merged["runs"] += result["runs"]
        merged["skipped"] += [{"ground": ground, **entry} for entry in result["skipped"]]
        if status != 0:
            troubles.append(f"the {ground} ground ended with status {status}: see its output above")
    if options.json is not None:
        options.json.write_text(json.dumps(merged, indent=2) + "\n")

    rows = rows_of(merged["runs"])
    print()
    if rows:
        print(table(rows))
        print()
    for entry in merged["skipped"]:
        side = f"{entry['model']}/{entry['engine']}" if entry["engine"] else entry["model"]
        print(f"Left out ({entry['ground']}): {side}: {entry['reason']}")
    for trouble in troubles:
        print(f"PROBLEM: {trouble}")
    print(f"({time.monotonic() - begun:.0f} s; rates are wall-clock ratios within one run, noisy "
          "on an emulated or busy machine; crossings are counts)")
    print()
    print(sentence(rows, "guest"))
    print(sentence(rows, "native"))
    failed = troubles or any(row.errors for row in rows)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
