# SPDX-License-Identifier: MIT
"""What the samples say: as JSON, and as a table for people."""

import statistics
from dataclasses import dataclass

import arithmetic
import keys
from arithmetic import Figure


@dataclass(frozen=True)
class Samples:
    """Of one guest."""

    ground: str
    results: dict[str, dict]  # by key, as the programs write them
    errors: dict[str, str]  # by key
    problems: list[str]  # of the guest itself


def duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def figures(samples: list[Samples]) -> dict[str, dict]:
    """The content of the file of --json."""
    found: dict[str, dict] = {}
    for each in samples:
        for name, result in each.results.items():
            if name == keys.TABLE:
                found[name] = {"unit": "instructions per call", "lines": medians(result["table"]),
                               "ground": each.ground}
                continue
            figure = keys.KEYS[name].figure(result)
            found[name] = {"value": figure.value, "unit": keys.KEYS[name].unit,
                           "spread": list(figure.spread), "pairs": figure.pairs,
                           "ground": each.ground}
            if "about" in result:
                found[name]["about"] = result["about"]
    return found


def medians(lines: list[dict]) -> list[dict]:
    return [{**line, "batches": {size: statistics.median(values)
                                 for size, values in line["batches"].items()}} for line in lines]


def number(value: float | None) -> str:
    if value is None:
        return "none"
    if value >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def spread(figure: Figure) -> str:
    low, high = map(number, figure.spread)
    return low if low == high else f"{low} to {high}"


def judged(figure: Figure, goal: keys.Goal) -> str:
    """The best that can be said of it."""
    aim = arithmetic.verdict(figure, goal.aim, goal.more)
    must = arithmetic.verdict(figure, goal.must, goal.more)
    if aim == arithmetic.REACHED:
        return "aim reached"
    if must == arithmetic.REACHED:
        return "reached"
    return "falls short" if must == arithmetic.SHORT else "undecided"


def aligned(cells: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in cells]


def measured(samples: list[Samples]) -> list[tuple[keys.Key, dict]]:
    return [(keys.KEYS[name], result) for each in samples
            for name, result in each.results.items() if name != keys.TABLE]


def figure_lines(samples: list[Samples]) -> list[str]:
    cells = [["key", "value", "spread", "must", "aim", "", "earlier systems"]]
    for key, result in measured(samples):
        figure = key.figure(result)
        sign = ">=" if key.goal.more else "<="
        cells.append([key.name, number(figure.value), spread(figure),
                      f"{sign} {number(key.goal.must)}", f"{sign} {number(key.goal.aim)}",
                      judged(figure, key.goal), key.seeds])
    return aligned(cells) if len(cells) > 1 else []


def explanation(key: keys.Key, result: dict) -> str:
    """What a figure means, and the medians behind it."""
    parts = [key.what]
    if "pairs" in result:
        ours, other = (statistics.median(pair[i] for pair in result["pairs"]) for i in range(2))
        parts.append(f"{ours:,.1f} against {other:,.1f}")
    parts += [f"{what.replace('_', ' ')} {value}" for what, value in
              result.get("about", {}).items() if value != ""]
    return f"{key.name}: {'; '.join(parts)}"


def table_lines(result: dict) -> list[str]:
    lines = medians(result["table"])
    sizes = sorted({int(size) for line in lines for size in line["batches"]})
    cells = [["call", "executed by", *map(str, sizes)]]
    for line in lines:
        cells.append([line["call"], line["how"],
                      *(f"{line['batches'][str(size)]:.1f}" if str(size) in line["batches"] else ""
                        for size in sizes)])
    return ["instructions per call, by calls per batch:", *aligned(cells)]


def text(samples: list[Samples]) -> str:
    parts = [figure_lines(samples),
             [explanation(key, result) for key, result in measured(samples)]]
    parts += [table_lines(each.results[keys.TABLE]) for each in samples
              if keys.TABLE in each.results]
    troubles = [f"FAILED: {name}: {error}" for each in samples
                for name, error in each.errors.items()]
    troubles += [f"PROBLEM: {problem}" for each in samples for problem in each.problems]
    parts.append(troubles)
    return "\n" + "\n\n".join("\n".join(part) for part in parts if part)
