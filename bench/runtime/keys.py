# SPDX-License-Identifier: MIT
"""What `./run bench runtime` can measure, and what there is to compare it with."""

import arithmetic
from figures import Key, at_least, at_most

ONE_THREAD = "time of one thread"
WALL = "wall clock"
MEMORY = "resident memory"

BOOST = "Boost.Fiber 1.81"
NGINX = "1 (nginx)"

# The first side of a key is ours. A ratio is the other's time by ours. What is not here is measured by
# the program that compares servers.
SIDES = {"switch": "boost", "spawn": "boost", "spawn_thread": "threads", "mutex": "boost",
         "timers": "boost", "parked_bytes": None, "parked_million": None}
OTHERS = {"boost": BOOST, "threads": "std::thread"}
# In what each side of a pair is.
SIDE_UNITS = {"switch": "ns per yield", "spawn": "ns per fiber", "spawn_thread": "ns per fiber or thread",
              "mutex": "ns per lock", "timers": "ns per wait"}
BESIDE = ("parked_bytes",)  # Boost.Fiber is measured too, and told of


def _times(samples: dict) -> arithmetic.Figure:
    return arithmetic.figure([other / ours for ours, other in samples["pairs"]])


KEYS: dict[str, Key] = {key.name: key for key in (
    Key("switch", f"yields between two fibers, as many times faster than {BOOST}", "ratio",
        ONE_THREAD, _times, at_least(3, 8), "1 (Boost.Fiber)", 4),
    Key("spawn", f"a fiber spawned and joined, as many times faster than {BOOST}", "ratio",
        ONE_THREAD, _times, at_least(5, 10), "1 (Boost.Fiber)", 4),
    Key("spawn_thread", "the same against std::thread", "ratio", WALL, _times, at_least(50, 200),
        "1 (threads)", 4),
    Key("mutex", f"a mutex taken by two fibers on two CPUs, as many times faster than {BOOST}",
        "ratio", WALL, _times, at_least(2, 4), "1 (Boost.Fiber)", 6),
    Key("parked_bytes", "resident bytes of each of 200,000 parked fibers", "bytes", MEMORY,
        arithmetic.count, at_most(6 * 1024, 4.5 * 1024), "above 8192 (a stack and a descriptor)", 15),
    Key("parked_million", "the same of a million", "bytes", MEMORY, arithmetic.count,
        at_most(6 * 1024, 4.5 * 1024), "-", 30),
    Key("timers", f"100,000 timed waits begun and ended early, as many times faster than {BOOST}",
        "ratio", ONE_THREAD, _times, at_least(3, 10), "1 (Boost.Fiber)", 20),
    Key("http50_uring", "requests per second, fibers on engine uring against nginx, one CPU each, 50 "
        "connections", "ratio", WALL, arithmetic.ratio, at_least(1.0, 1.3), NGINX, 30),
    Key("http1000_uring", "the same with 1000 connections", "ratio", WALL, arithmetic.ratio,
        at_least(1.0, 1.3), NGINX, 30),
    Key("http50_threads", "the same on engine threads, worker and carrier on that CPU, 50 connections",
        "ratio", WALL, arithmetic.ratio, at_least(0.5, 0.8), NGINX, 30),
)}
