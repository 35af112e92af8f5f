# SPDX-License-Identifier: MIT
"""
The table of latencies at arrival rates: a line for each figure of each server, a column for each rate in
percent of what epoll can do at closed loop. A latency that is None was not reached: so many requests
were never answered.
"""

import html
import statistics

from figures import aligned, number
from markup import table

TIMES = ("p50", "p90", "p99", "p99.9", "max")
CLIENT = "client p99"
COLUMNS = (*TIMES, "answered", "errors", CLIENT)
UNIT = "times a request of epoll at closed loop"
HEAD = ("server", "% of epoll", *TIMES, "answered %", "errors", CLIENT)


def median(values: list[float | None]) -> float | None:
    """One that was never answered is later than any other; the median of two is the later one then."""
    found = statistics.median(float("inf") if value is None else value for value in values)
    return None if found == float("inf") else found


def entry(result: dict) -> dict:
    """The table in the file of --json: medians of the runs, but all errors."""
    lines = [{**line, "batches": {part: sum(values) if line["how"] == "errors" else median(values)
                                  for part, values in line["batches"].items()}}
             for line in result["table"]]
    return {"unit": UNIT, "lines": lines, "about": result["about"]}


def rows(found: dict) -> list[list[str]]:
    """Of an entry: for each server and rate, the columns of HEAD."""
    servers: dict[str, dict[str, dict]] = {}
    for line in found["lines"]:
        servers.setdefault(line["call"], {})[line["how"]] = line["batches"]
    texts = []
    for server, of in servers.items():
        for part in sorted(of["errors"], key=int):
            cells = {how: of[how][part] for how in COLUMNS}
            texts.append([server, part,
                          *(number(cells[how]) for how in TIMES), f"{100 * cells['answered']:.1f}",
                          number(cells["errors"]), number(cells[CLIENT])])
    return texts


def unit_text(found: dict) -> str:
    about = found["about"]
    return (f"latencies in the time of a request of epoll at closed loop (here "
            f"{about['microseconds_of_one']:.0f} us), from when a request was due; {about['connections']} "
            f"connections, arrivals of seed {about['seed']}")


def lines(result: dict) -> list[str]:
    """The table for people."""
    found = entry(result)
    return [f"{unit_text(found)}:", *aligned([list(HEAD), *rows(found)])]


def section(title: str, found: dict) -> str:
    """The table for the report."""
    left_out = "".join(f" Left out: {html.escape(name)}: {html.escape(why)}."
                       for name, why in found["about"].get("left_out", {}).items())
    return (f"<h3>{html.escape(title)}</h3>{table(HEAD, rows(found), 1)}"
            f"<p>{html.escape(unit_text(found))}. Where “client p99” is not small against a latency, "
            f"that is the client's own. Ground: {html.escape(found['ground'])}.{left_out}</p>")
