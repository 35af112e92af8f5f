# SPDX-License-Identifier: MIT
"""What `./run bench kernel` can measure, where, and what there is to compare it with."""

from collections.abc import Iterable
from dataclasses import dataclass

import arithmetic
import figures
from figures import at_least, at_most


@dataclass(frozen=True)
class Ground:
    """A kind of guest. Keys of one ground are measured in one boot."""

    cpus: int
    memory: int = 1024  # MiB
    icount: bool = False


COUNTING = Ground(1, icount=True)
TWO_CPUS = Ground(2)
THREE_CPUS = Ground(3)
MANY_SOCKETS = Ground(2, memory=2560)

KERNEL = "flexsc-bench-kernel"
SERVING = "flexsc-bench-serving"


@dataclass(frozen=True)
class Key(figures.Key):
    """Its ground is a Ground."""

    program: str = KERNEL
    needs: tuple[str, ...] = ()  # further programs of this machine


KEYS: dict[str, Key] = {key.name: key for key in (
    Key("flush64", "instructions saved per no-op, batches of 64 by flush", "fraction", COUNTING,
        arithmetic.reduction, at_least(0.72, 0.80), "0.57 at 32 (FlexSC)", 1),
    Key("flush1024", "instructions saved per no-op, batches of 1024 by flush", "fraction", COUNTING,
        arithmetic.reduction, at_least(0.75, 0.80), "0.58 (cluster calls)", 1),
    Key("breakeven_flush", "smallest batch that is not dearer than direct calls, by flush",
        "calls", COUNTING, arithmetic.break_even, at_most(3, 2),
        "17 (cluster calls), 2 (FlexSC)", 2),
    Key("breakeven_wait", "the same, executed by the caller in its wait", "calls", COUNTING,
        arithmetic.break_even, at_most(3, 2), "17 (cluster calls), 2 (FlexSC)", 2),
    Key("post_reap", "user instructions to post and reap one call of 64", "instructions", COUNTING,
        arithmetic.count, at_most(60, 30), "-", 1),
    Key("copy4096", "instructions saved copying 1 MB in blocks of 4096 by one chain", "fraction",
        COUNTING, arithmetic.reduction, at_least(0.04, 0.05), "0.05 to 0.08 in time (multi-calls)",
        10),
    Key("copy512", "the same in blocks of 512", "fraction", COUNTING, arithmetic.reduction,
        at_least(0.08, 0.10), "-", 10),
    Key("one_connection", "requests per second of fibers against threads, 1 connection", "ratio",
        COUNTING, arithmetic.ratio, at_least(0.8, 1.0), "0.1 (cluster calls)", 90, SERVING,
        ("wrk",)),
    Key("breakeven_other", "smallest batch not slower than direct calls, worker on another CPU",
        "calls", TWO_CPUS, arithmetic.break_even, at_most(4, 2),
        "120 (cluster calls), 32 to 64 (FlexSC)", 60),
    Key("single_other", "time of one call at a time there, against a direct one", "ratio", TWO_CPUS,
        arithmetic.ratio, at_most(2, 1.5), "above 100 (cluster calls), above 10 (FlexSC)", 60),
    Key("workers2", "speed-up of 1024 calls by a second worker", "ratio", THREE_CPUS,
        arithmetic.ratio, at_least(1.5, 1.9), "below 1 (cluster calls)", 60),
    Key("parked", "connections parked in read with 4 + 2 workers", "connections", MANY_SOCKETS,
        arithmetic.count, at_least(10_000, 50_000), "a thread each (FlexSC)", 45),
)}

# Not a figure but a table of them: for those who work on the module.
TABLE = "table"
TABLE_SECONDS = 2


def by_ground(names: Iterable[str]) -> dict[tuple[Ground, str], list[str]]:
    """The keys of each boot: one ground and one program."""
    boots: dict[tuple[Ground, str], list[str]] = {}
    for name in names:
        where = (COUNTING, KERNEL) if name == TABLE else (KEYS[name].ground, KEYS[name].program)
        boots.setdefault(where, []).append(name)
    return boots


def seconds(name: str) -> float:
    return TABLE_SECONDS if name == TABLE else KEYS[name].seconds
