# SPDX-License-Identifier: MIT
"""
The same figures in other words: on a real machine, what is counted in instructions elsewhere is a time.
The clock of a guest that counts advances by a nanosecond per instruction, so the samples are the same.
"""

import re

BARE_METAL = "bare metal"  # how the ground of each figure begins that was measured so

IN_TIME = (
    ("requests per 10^9 instructions", "requests per second"),
    ("Requests per instruction of the whole machine", "Requests per second"),
    ("Instructions of the whole machine", "In time"),
    ("thousands of instructions", "µs"),
    ("Instructions saved", "Time saved"),
    ("Counted by the cache model", "Counted by the processor"),
    ("Emulated CPUs; see what to keep in mind. ", ""),
    ("(instructions)", "(time)"),
    ("instructions saved", "time saved"),
    ("requests per instruction", "requests per second"),
    ("per instruction", "per second"),
    ("user instructions", "time"),
    ("instructions", "ns"),
)


# Of what a processor counts too.
STAYS = re.compile("((?:per|each) 1000 instructions|user instructions between two calls)")


def in_time(text: str) -> str:
    parts = STAYS.split(text)
    for i in range(0, len(parts), 2):
        for counted, timed in IN_TIME:
            parts[i] = parts[i].replace(counted, timed)
    return "".join(parts)


def is_bare_metal(results: dict[str, dict]) -> bool:
    """Of the results of some subjects."""
    return any(figure.get("ground", "").startswith(BARE_METAL)
               for found in results.values() for figure in found.values())
