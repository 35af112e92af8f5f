# SPDX-License-Identifier: MIT
"""The cache model (bench/cache-model): how the emulator gets it, and what it counted as a table."""

import json
from pathlib import Path

from paths import BUILD, HarnessError

PLUGIN = BUILD / "lib/libflexsc-cache-model.so"
SIDES = ("user", "kernel")
COLUMNS = {"instructions": "instructions", "l1i_misses": "L1i", "l1d_misses": "L1d",
           "l2_misses": "L2", "itlb_misses": "ITLB", "dtlb_misses": "DTLB", "stlb_misses": "STLB"}


# What can be counted: misses too, instructions alone (the guest is faster then), or those by address.
COUNTS = {"caches": "", "instructions": ",caches=off", "functions": ",caches=off,places=on"}


def plugin(results: Path, counts: str = "caches") -> str:
    """The emulator's argument; counts is one of COUNTS."""
    if not PLUGIN.exists():
        raise HarnessError(f"{PLUGIN} is not there: run `./run build`")
    if "," in str(results):
        raise HarnessError(f"{results}: the emulator takes no file name with a comma")
    results.unlink(missing_ok=True)
    return f"{PLUGIN},out={results.absolute()}{COUNTS[counts]}"


def read(results: Path) -> list[dict]:
    """What was counted, by CPU."""
    if not results.exists():
        raise HarnessError("nothing was counted: the program has to pass both marks of "
                           "bench/cache-model/marks.hpp")
    return json.loads(results.read_text())["cpus"]


def between_stops(results: Path) -> list[list[dict]]:
    """What was counted between each two marks, in their order, by CPU."""
    read(results)  # whether there is anything
    before: dict[int, dict] = {}
    found = []
    for stop in json.loads(results.read_text())["stops"]:
        found.append([_since(cpu, before.get(cpu["cpu"])) for cpu in stop])
        before = {cpu["cpu"]: cpu for cpu in stop}
    return found


def places(results: Path) -> list[dict[int, int]]:
    """Between each two marks, how many instructions were executed from which address on."""
    read(results)
    return [dict(stop) for stop in json.loads(results.read_text())["places"]]


def _since(now: dict, before: dict | None) -> dict:
    """The counts of a CPU less what they were before."""
    if before is None:
        return now
    return {name: _since(value, before[name]) if isinstance(value, dict) else
            value if name == "cpu" else value - before[name] for name, value in now.items()}


def table(results: Path) -> str:
    lines = ["modelled misses, and instructions:", "cpu side  " +
             "".join(f"{title:>13}" for title in COLUMNS.values())]
    for cpu in read(results):
        for side in SIDES:
            lines.append(f"{cpu['cpu']:3} {side:6}" +
                         "".join(f"{cpu[side][name]:13}" for name in COLUMNS))
        lines.append(f"    entries into the kernel: {cpu['kernel_entries']}, "
                     f"of which system calls: {cpu['system_calls']}")
    return "\n".join(lines)
