# SPDX-License-Identifier: MIT
"""What `./run bench server` can measure, where, and what there is to compare it with."""

import arithmetic
import instructions
import latency
import tables
from figures import at_least, at_most
from guests import COUNTING, NATIVE, Book, Extra, Ground, Key

# Ten thousand connections have two sockets, a stack and buffers each.
MANY = Ground(1, memory=4096, icount=True)
THREE_CPUS = Ground(3)
FOUR_CPUS = Ground(4)
COUNTED = Ground(3, counts="instructions")
MODELLED = Ground(3, counts="caches")
BY_FUNCTION = Ground(1, icount=True, counts="functions")
WRK = ("wrk",)
NGINX = ("wrk", "nginx")
LIGHTTPD = ("wrk", "lighttpd")
CARRIER_CPU = 0


def carrier_instructions(answer: dict, cpus: list[dict]) -> float:
    """Of the CPU of the carrier, or of the event loop, per request."""
    counts = cpus[CARRIER_CPU]
    return sum(counts[side]["instructions"] for side in ("user", "kernel")) / answer["requests"]


def user_misses(answer: dict, cpus: list[dict]) -> float:
    return cpus[CARRIER_CPU]["user"]["l1i_misses"] / answer["requests"]


MODELS = ("model", "")
# Of a table's lines: what is per second, and what is in microseconds.
UNITS = "requests per 10^9 instructions, thousands of instructions"
CONNECTIONS = Extra("connections", "requests, latency and CPU time of the models for 1 to 2000 connections", MANY,
                    400, tables.entry_of(UNITS),
                    tables.lines_of("by connections:", MODELS),
                    needs=WRK)
FILE_SIZES = Extra("file_sizes", "the same for files of 1 to 256 KiB", COUNTING,
                   200, tables.entry_of(UNITS),
                   tables.lines_of("by KiB of the file:", MODELS),
                   needs=WRK)

LATENCY = Extra("latency", "latency percentiles of the models at 30 to 90 % of the rate of epoll", THREE_CPUS,
                420, latency.entry, latency.lines, needs=WRK)
LATENCY_NATIVE = Extra("latency_native", "the same on this machine, without the module", NATIVE, 290,
                       latency.entry, latency.lines, needs=WRK)

PROFILE = Extra("profile", "where the instructions of a request go, by part and by function", BY_FUNCTION,
                300, instructions.entry, instructions.lines, needs=(*NGINX, "lighttpd"),
                modelled=instructions.profiled)

# Of keys that fall short on one CPU: why, in words; `profile` has the figures.
CHAINS = ("The kernel does the same for a request either way, and crossings are a few per cent of its instructions: what "
          "posting, finding, parking and taking results cost (module, libflexsc and fibers) has to stay below that. "
          "All of a request is one chain already, if its file is as it was the last time.")
WAKING = ("As for epoll. Besides, the client preempts the one thread that answers all of its connections at each answer, "
          "and sleeps and wakes for each; with a thread for each connection it never sleeps.")
NETWORK = ("The kernel's network and the client are three quarters of nginx's instructions: a server that makes our calls "
           "and has no instruction of its own would reach about 1.4.")
SENDFILE = ("It reads a small file and sends it with the head in one call. For our models that is some 2,000 instructions "
            "less than sendfile(), but on a processor it takes no less time.")
DATAGRAMS = ("Crossings are 3 % of a datagram's instructions, and the kernel's network is nearly all of the rest: a server "
             "without any instruction beside its calls would reach 1.04.")

BOOK = Book("server", "flexsc-bench-server", (
    Key("threads", "requests per instruction, fibers on engine kernel against a thread per connection, "
        "50 connections", "ratio", COUNTING, arithmetic.ratio, at_least(1.0, 1.15),
        "1.86 in time (FlexSC)", 150, remedy=WAKING, needs=WRK),
    Key("epoll", "the same against event loops", "ratio", COUNTING, arithmetic.ratio,
        at_least(1.0, 1.15), "2.2 in time (libflexsc)", 150, remedy=CHAINS, needs=WRK),
    Key("esca", "the same against event loops with batch segments", "ratio", COUNTING,
        arithmetic.ratio, at_least(1.0, 1.15), "-", 150, remedy=CHAINS, needs=WRK),
    Key("nginx", "the same against nginx, one worker", "ratio", COUNTING, arithmetic.ratio,
        at_least(1.7, 2.0), "1.11 (ESCA)", 150, remedy=NETWORK, needs=NGINX),
    Key("lighttpd", "the same against lighttpd, one worker", "ratio", COUNTING, arithmetic.ratio,
        at_least(1.7, 2.0), "1.13 (ESCA)", 150, remedy=SENDFILE, needs=LIGHTTPD),
    Key("one_connection", "the same against threads, 1 connection", "ratio", COUNTING,
        arithmetic.ratio, at_least(0.9, 1.0), "0.1 (cluster calls)", 150, needs=WRK),
    Key("c10k", "requests per instruction on 10,000 open connections against 400", "ratio", MANY,
        arithmetic.ratio, at_least(0.90, 0.97), "0.84 at 2000 (cluster calls)", 800, needs=WRK),
    Key("small_udp", "datagrams of 64 bytes that are sent back, per instruction, 50 at a time, by fibers "
        "whose calls are a chain that repeats, against one thread that makes its calls directly", "ratio", COUNTING,
        arithmetic.ratio, at_least(1.10, 1.3), "-", 30, remedy=DATAGRAMS),
    Key("small_files", "the same with 20 small calls on a file for each", "ratio", COUNTING,
        arithmetic.ratio, at_least(1.10, 1.3), "-", 30),
    Key("crossings", "crossings per request by the carrier, worker on its own CPU", "crossings",
        THREE_CPUS, arithmetic.count, at_most(0.01, 0.001), "0.008 to 0.018 (cluster calls)", 60,
        needs=WRK),
    Key("spread", "requests per second, a carrier with two worker CPUs against epoll on one CPU",
        "ratio", FOUR_CPUS, arithmetic.ratio, at_least(1.3, 1.8), "1.94 to 2.16 on 4 (FlexSC)", 90,
        needs=WRK),
    Key("spread_threads", "the same against threads on the same three CPUs", "ratio", FOUR_CPUS,
        arithmetic.ratio, at_least(1.0, 1.3), "1.94 to 2.16 on 4 (FlexSC)", 90, needs=WRK),
    Key("carrier", "instructions of the application's CPU per request, epoll against the carrier",
        "ratio", COUNTED, arithmetic.gain, at_least(4, 10), "-", 200, needs=WRK,
        counted=carrier_instructions),
    Key("pollution", "L1i misses on the user side per request that a worker elsewhere saves, against "
        "threads", "fraction", MODELLED, arithmetic.reduction, at_least(0.40, 0.70),
        "131 to 41 per 1000 instructions (FlexSC)", 400, needs=WRK, counted=user_misses),
), (CONNECTIONS, FILE_SIZES, PROFILE, LATENCY, LATENCY_NATIVE))
