# SPDX-License-Identifier: MIT
"""
Tables: what is measured by several ways and for several sizes. Not figures that are held against a
limit, but what plots draw.
"""

import math
import statistics
from collections.abc import Callable

from figures import aligned


def medians(table: list[dict]) -> list[dict]:
    return [{**line, "batches": {size: statistics.median(values)
                                 for size, values in line["batches"].items()}} for line in table]


def entry_of(unit: str) -> Callable[[dict], dict]:
    """The table in the file of --json."""
    return lambda result: {"unit": unit, "lines": medians(result["table"])}


def lines_of(title: str, names: tuple[str, str]) -> Callable[[dict], list[str]]:
    """The table for people; names are those of the two columns that say what a line is of."""
    def lines(result: dict) -> list[str]:
        found = medians(result["table"])
        sizes = sorted({int(size) for line in found for size in line["batches"]})
        cells = [[*names, *map(str, sizes)]]
        for line in found:
            cells.append([line["call"], line["how"],
                          *(f"{line['batches'][str(size)]:.1f}" if str(size) in line["batches"] else ""
                            for size in sizes)])
        return [title, *aligned(cells)]
    return lines


def points(table: dict, call: str, how: str) -> list[tuple[float, float]]:
    """One line of a table as it is in the file of --json; where there is no value, a gap that is drawn as one."""
    found = {(line["call"], line["how"]): line["batches"] for line in table["lines"]}
    return sorted((int(size), math.nan if value is None else value)
                  for size, value in found[call, how].items())
