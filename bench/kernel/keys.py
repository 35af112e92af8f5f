# SPDX-License-Identifier: MIT
"""What `./run bench kernel` can measure, where, and what there is to compare it with."""

import arithmetic
import misses
import tables
from figures import at_least, at_most
from guests import COUNTING, Book, Extra, Ground, Key

TWO_CPUS = Ground(2)
THREE_CPUS = Ground(3)
FOUR_CPUS = Ground(4)
MODELLED = Ground(2, counts="caches")
MANY_SOCKETS = Ground(2, memory=2560)


CALLS = ("call", "executed by")
TABLE = Extra("table", "instructions of some calls, by each way and batch size", COUNTING, 2,
              tables.entry_of("instructions per call"),
              tables.lines_of("instructions per call, by calls per batch:", CALLS))
SIZES = Extra("sizes", "instructions of a no-op in batches of 1 to 1024, beside io_uring", COUNTING, 3,
              tables.entry_of("instructions per call"),
              tables.lines_of("instructions per no-op, by calls per batch:", CALLS))
SIZES_OTHER = Extra("sizes_other", "time of a no-op by a worker on another CPU, beside io_uring with "
                    "SQPOLL", TWO_CPUS, 15, tables.entry_of("ns per call"),
                    tables.lines_of("ns per no-op, by calls per batch:", CALLS))
COPY_SIZES = Extra("copy_sizes", "instructions to copy a block of 512 to 16384 bytes", COUNTING, 20,
                   tables.entry_of("instructions per block"),
                   tables.lines_of("instructions per block, by its bytes:", CALLS))
WRITES = Extra("writes60", "instructions of 60 writes one after the other, of 4 to 4096 bytes", COUNTING,
               10, tables.entry_of("instructions per call"),
               tables.lines_of("instructions per write, 60 at a time, by their bytes:", CALLS))
WORKERS = Extra("workers", "time of 1024 calls by 1, 2 and 3 workers, beside as many threads", FOUR_CPUS, 15,
                tables.entry_of("ns per call"),
                tables.lines_of("ns per call, by the number of workers or threads:", CALLS))
INDIRECT = Extra("indirect", "misses of user code around calls that are made directly, or posted to a worker",
                 MODELLED, 100, tables.entry_of(misses.UNIT),
                 tables.lines_of("misses per 1000 instructions of the user code, by those between two calls:",
                                 ("misses", "calls")),
                 modelled=misses.modelled, in_hardware=misses.in_hardware)

BOOK = Book("kernel", "flexsc-bench-kernel", (
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
        COUNTING, arithmetic.ratio, at_least(0.8, 1.0), "0.1 (cluster calls)", 90,
        "flexsc-bench-server", ("wrk",)),
    Key("breakeven_other", "smallest batch not slower than direct calls, worker on another CPU",
        "calls", TWO_CPUS, arithmetic.break_even, at_most(4, 2),
        "120 (cluster calls), 32 to 64 (FlexSC)", 60),
    Key("single_other", "time of one call at a time there, against a direct one", "ratio", TWO_CPUS,
        arithmetic.ratio, at_most(2, 1.5), "above 100 (cluster calls), above 10 (FlexSC)", 60),
    Key("workers2", "speed-up of 1024 calls by a second worker", "ratio", THREE_CPUS,
        arithmetic.ratio, at_least(1.5, 1.9), "below 1 (cluster calls)", 60),
    Key("parked", "connections parked in read with 4 + 2 workers", "connections", MANY_SOCKETS,
        arithmetic.count, at_least(10_000, 50_000), "a thread each (FlexSC)", 45),
), (TABLE, SIZES, SIZES_OTHER, COPY_SIZES, WRITES, WORKERS, INDIRECT))
