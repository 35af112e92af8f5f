#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Tells what has become better or worse between two results of `./run bench` (or of one subject) from
what is noise: a figure has changed if the two spreads do not meet and the medians differ by more than
a hundredth.
"""

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

# pylint: disable=wrong-import-position
import figures  # noqa: E402

LEAST = 0.01
BETTER, WORSE, SAME, UNKNOWN = "better", "WORSE", "same", "changed"
# Units in which less is better; of all others more is.
LESS = {"calls", "crossings", "instructions", "bytes"}
# A ratio of times: less is better.
LESS_KEYS = {"single_other"}


def flat(results: dict) -> dict[str, dict]:
    """All figures by name, whichever kind of file it is."""
    if "results" in results:
        return {f"{subject} {name}": figure for subject, of in results["results"].items()
                for name, figure in of.items() if "value" in figure}
    return {name: figure for name, figure in results.items() if "value" in figure}


def less_is_better(name: str, figure: dict) -> bool:
    return figure["unit"] in LESS or name.split()[-1] in LESS_KEYS


def judge(name: str, old: dict, new: dict) -> str:
    if None in (old["value"], new["value"], *old["spread"], *new["spread"]):
        return SAME if old["value"] == new["value"] else UNKNOWN
    (old_low, old_high), (new_low, new_high) = old["spread"], new["spread"]
    apart = new_low > old_high or new_high < old_low
    if not apart or abs(new["value"] - old["value"]) <= LEAST * abs(old["value"]):
        return SAME
    grew = new["value"] > old["value"]
    return BETTER if grew != less_is_better(name, new) else WORSE


def compare(old: dict, new: dict) -> tuple[list[str], bool]:
    """The table, and whether something is worse."""
    before, after = flat(old), flat(new)
    cells = [["figure", "old", "new", "change", ""]]
    worse = False
    for name in sorted(before.keys() & after.keys()):
        a, b = before[name], after[name]
        if a["ground"] != b["ground"]:
            cells.append([name, "", "", "", f"not comparable: {a['ground']} and {b['ground']}"])
            continue
        verdict = judge(name, a, b)
        worse = worse or verdict == WORSE
        change = f"{b['value'] / a['value'] - 1:+.1%}" if a["value"] and b["value"] else ""
        cells.append([name, figures.number(a["value"]), figures.number(b["value"]), change, verdict])
    lines = figures.aligned(cells)
    for side, names in (("old", before.keys() - after.keys()), ("new", after.keys() - before.keys())):
        if names:
            lines.append(f"only in the {side} one: {', '.join(sorted(names))}")
    return lines, worse


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run bench compare", description=__doc__,
                                     epilog="The status is 1 if something is worse.")
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    options = parser.parse_args(arguments)
    try:
        old, new = (json.loads(file.read_text()) for file in (options.old, options.new))
    except (OSError, ValueError) as error:
        parser.error(f"cannot read results: {error}")
    lines, worse = compare(old, new)
    print("\n".join(lines))
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
