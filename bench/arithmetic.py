# SPDX-License-Identifier: MIT
"""
From samples to figures. A sample is a pair of neighbours in time (ours, what it is compared with); a
figure is the median over the pairs, its spread their quartiles.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Pairs = Sequence[Sequence[float]]


@dataclass(frozen=True)
class Figure:
    """value is None where the samples hold none, such as a break-even that never comes."""

    value: float | None
    spread: tuple[float | None, float | None]
    pairs: int


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], values[0], values[0]
    first, median, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, median, third


def figure(values: Sequence[float]) -> Figure:
    first, median, third = quartiles(values)
    return Figure(median, (first, third), len(values))


def _of_pairs(of: Callable[[float, float], float]) -> Callable[[dict], Figure]:
    return lambda samples: figure([of(a, b) for a, b in samples["pairs"]])


ratio = _of_pairs(lambda a, b: a / b)
gain = _of_pairs(lambda a, b: b / a)
reduction = _of_pairs(lambda a, b: 1 - a / b)


def count(samples: dict) -> Figure:
    return figure(samples["values"])


def _from_here_on(holds: Sequence[tuple[int, bool]]) -> int | None:
    """The smallest size from which on it holds for every one that was measured."""
    found = None
    for size, true in reversed(holds):
        if not true:
            break
        found = size
    return found


def break_even(samples: dict) -> Figure:
    """
    The smallest batch that is not dearer than its calls one by one, and neither is a larger one.
    The spread is where it would be if the quartiles of the ratios were the ratios.
    """
    ratios = sorted((int(size), quartiles([a / b for a, b in pairs]))
                    for size, pairs in samples["batches"].items())
    first, median, third = (_from_here_on([(size, at[i] <= 1) for size, at in ratios])
                            for i in range(3))
    pairs = min(len(pairs) for pairs in samples["batches"].values())
    return Figure(median, (first, third), pairs)


REACHED, SHORT, UNDECIDED = "reached", "short", "undecided"


def verdict(found: Figure, limit: float, more: bool) -> str:
    """Whether a figure reaches a limit; undecided if only a part of its spread does."""
    if found.value is None:
        return SHORT if found.spread == (None, None) else UNDECIDED
    reached = [end is not None and (end >= limit if more else end <= limit)
               for end in (*found.spread, found.value)]
    if all(reached):
        return REACHED
    return UNDECIDED if any(reached) else SHORT
