# SPDX-License-Identifier: MIT
"""What is measured and what it must reach, and how figures are told: as JSON and as a table."""

import json
import re
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import arithmetic
from arithmetic import Figure


@dataclass(frozen=True)
class Goal:
    """What a figure must reach and what it is to reach; more is better, or less is."""

    must: float
    aim: float
    more: bool


def at_least(must: float, aim: float) -> Goal:
    return Goal(must, aim, True)


def at_most(must: float, aim: float) -> Goal:
    return Goal(must, aim, False)


@dataclass(frozen=True)
class Key:
    """Something that can be measured."""

    name: str
    what: str
    unit: str
    ground: Any  # where it is measured: the runner knows
    figure: Callable[[dict], Figure]  # from the samples
    goal: Goal
    seeds: str  # what systems before this one reached
    seconds: float  # that it takes, for the estimate of what is left
    remedy: str = field(default="", kw_only=True)  # what would have to change where it falls short


Measured = tuple[Key, dict]  # and its samples


def duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def entry(key: Key, result: dict, ground: str) -> dict:
    """Of the file of --json."""
    found = {**content(key, result), "unit": key.unit, "ground": ground}
    if "otherwise" in result:
        found["otherwise"] = content(key, result["otherwise"])
    return found


def details_of(result: dict) -> dict:
    """What the report needs besides: medians of the two sides, ratios by batch size, a configuration."""
    found: dict = {}
    if "pairs" in result:
        found["sides"] = [statistics.median(pair[i] for pair in result["pairs"]) for i in range(2)]
    if "batches" in result:
        found["ratios"] = {size: statistics.median(a / b for a, b in pairs)
                           for size, pairs in result["batches"].items()}
    if "configuration" in result:
        found["configuration"] = result["configuration"]
    return found


def content(key: Key, result: dict) -> dict:
    figure = key.figure(result)
    found = {"value": figure.value, "spread": list(figure.spread), "pairs": figure.pairs}
    return {**found, "about": result["about"]} if "about" in result else found


def as_text(found: dict) -> str:
    """The text of a file of JSON that people look at too: arrays of numbers are on one line."""
    numbers = re.compile(r"\[\n([-+.\deE,\s]+)\]")  # no string has a line's end in it
    return numbers.sub(lambda match: f"[{' '.join(match[1].split())}]", json.dumps(found, indent=2)) + "\n"


def number(value: float | None) -> str:
    if value is None:
        return "none"
    if value >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def spread(figure: Figure) -> str:
    low, high = map(number, figure.spread)
    return low if low == high else f"{low} to {high}"


FALLS_SHORT = "falls short"


def judged(figure: Figure, goal: Goal) -> str:
    """The best that can be said of it."""
    aim = arithmetic.verdict(figure, goal.aim, goal.more)
    must = arithmetic.verdict(figure, goal.must, goal.more)
    if aim == arithmetic.REACHED:
        return "aim reached"
    if must == arithmetic.REACHED:
        return "reached"
    return FALLS_SHORT if must == arithmetic.SHORT else "undecided"


def aligned(cells: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in cells]


def lines(measured: Iterable[Measured]) -> list[str]:
    """The table: what was reached."""
    cells = [["key", "value", "spread", "must", "aim", "", "earlier systems"]]
    for key, result in measured:
        figure = key.figure(result)
        sign = ">=" if key.goal.more else "<="
        cells.append([key.name, number(figure.value), spread(figure),
                      f"{sign} {number(key.goal.must)}", f"{sign} {number(key.goal.aim)}",
                      judged(figure, key.goal), key.seeds])
    return aligned(cells) if len(cells) > 1 else []


def details(result: dict) -> list[str]:
    """The medians behind a figure, and what else the program says."""
    parts = []
    if "pairs" in result:
        ours, other = (statistics.median(pair[i] for pair in result["pairs"]) for i in range(2))
        parts.append(f"{ours:,.1f} against {other:,.1f}")
    return parts + [f"{what.replace('_', ' ')} {value}" for what, value in
                    result.get("about", {}).items() if value != ""]


def explanation(key: Key, result: dict) -> str:
    """What a figure means, and what is behind it."""
    text = "; ".join([key.what, *details(result)])
    if "otherwise" in result:
        figure = key.figure(result["otherwise"])
        text += (f"; otherwise {number(figure.value)} ({spread(figure)}): "
                 f"{'; '.join(details(result['otherwise']))}")
    return f"{key.name}: {text}"
