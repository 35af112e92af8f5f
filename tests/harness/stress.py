# SPDX-License-Identifier: MIT
"""`./run stress`: random use of the module in a guest, see tests/stress/main.cpp."""

import argparse
import sys

import build
import guest
import suite
from paths import HarnessError

# All allocations may be made to fail but one that the kernel warns of: a record of vmalloc() that is
# allocated without waiting, when the one that had been allocated before is gone.
MAY_FAIL = "slub_debug=A;-,vmap_area"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run stress", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same seed does the same again")
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--life", type=int, help="one process alone, as the program names it")
    parser.add_argument("--processes", type=int, default=3, help="at a time")
    parser.add_argument("--kernel", default="6.1", help="as of ./run guest; kasan and kcsan too")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=6 * 3600, metavar="S")
    options = parser.parse_args(arguments)
    build.target("flexsc-stress")
    command = ["flexsc-stress", "--seed", str(options.seed), "--operations",
               str(options.operations), "--processes", str(options.processes)]
    if options.life is not None:
        command += ["--life", str(options.life)]
    return guest.main(["--kernel", options.kernel, "--cpus", str(options.cpus), "--timeout",
                       str(options.timeout), "--name", f"stress-{options.seed}", "--append",
                       f"{suite.NO_KMEMLEAK} {MAY_FAIL}", "--", *command])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HarnessError as error:
        sys.exit(f"error: {error}")
