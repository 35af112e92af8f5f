# SPDX-License-Identifier: MIT
"""What the samples say: as JSON, and as a table for people."""

import statistics
from dataclasses import dataclass

import keys
from figures import Measured, aligned, entry, explanation, lines


@dataclass(frozen=True)
class Samples:
    """Of one guest."""

    ground: str
    results: dict[str, dict]  # by key, as the programs write them
    errors: dict[str, str]  # by key
    problems: list[str]  # of the guest itself


def figures(samples: list[Samples]) -> dict[str, dict]:
    """The content of the file of --json."""
    found: dict[str, dict] = {}
    for each in samples:
        for name, result in each.results.items():
            if name == keys.TABLE:
                found[name] = {"unit": "instructions per call", "lines": medians(result["table"]),
                               "ground": each.ground}
                continue
            found[name] = entry(keys.KEYS[name], result, each.ground)
    return found


def medians(table: list[dict]) -> list[dict]:
    return [{**line, "batches": {size: statistics.median(values)
                                 for size, values in line["batches"].items()}} for line in table]


def measured(samples: list[Samples]) -> list[Measured]:
    return [(keys.KEYS[name], result) for each in samples
            for name, result in each.results.items() if name != keys.TABLE]


def table_lines(result: dict) -> list[str]:
    calls = medians(result["table"])
    sizes = sorted({int(size) for line in calls for size in line["batches"]})
    cells = [["call", "executed by", *map(str, sizes)]]
    for line in calls:
        cells.append([line["call"], line["how"],
                      *(f"{line['batches'][str(size)]:.1f}" if str(size) in line["batches"] else ""
                        for size in sizes)])
    return ["instructions per call, by calls per batch:", *aligned(cells)]


def text(samples: list[Samples]) -> str:
    parts = [lines(measured(samples)),
             [explanation(key, result) for key, result in measured(samples)]]
    parts += [table_lines(each.results[keys.TABLE]) for each in samples
              if keys.TABLE in each.results]
    troubles = [f"FAILED: {name}: {error}" for each in samples
                for name, error in each.errors.items()]
    troubles += [f"PROBLEM: {problem}" for each in samples for problem in each.problems]
    parts.append(troubles)
    return "\n" + "\n\n".join("\n".join(part) for part in parts if part)
