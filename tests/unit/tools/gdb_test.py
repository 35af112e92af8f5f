# SPDX-License-Identifier: MIT
"""
Description: gdb's script lists the fibers of a live process and of a core dump, with backtraces.
Usage: gdb_test.py SCRIPT PROGRAM
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT_SECONDS = 120


def gdb(*arguments: str) -> str:
    done = subprocess.run(["gdb", "-q", "-nx", "-batch", "-iex", "set debuginfod enabled off",
                           *arguments], capture_output=True, text=True, timeout=LIMIT_SECONDS,
                          check=False)
    return done.stdout + done.stderr


def check(text: str, what: str) -> None:
    def expect(pattern: str) -> None:
        if not re.search(pattern, text, re.MULTILINE | re.DOTALL):
            sys.exit(f"{what}: {pattern!r} is not in\n{text}")

    frames = r"[^\n]*\n(?:    #[^\n]*\n)*?    #\d+ [^\n]*"
    expect(r"'reader' waiting for call 0\(0x" + frames + r"flexsc::read")
    expect(r"'locker' waiting for mutex 0x" + frames + r"Mutex::")
    expect(r"'sleeper' waiting for a time" + frames + r"sleep_until")
    expect(r"'yielder' ready" + frames + r"Carrier::yield")
    expect(r"'reader'" + frames + r"fiber_main")
    expect(r"'busy' running\n")
    expect(r"'fresh' fresh\n")
    expect(r"^6 fibers")


def main() -> None:
    script, program = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        try:
            if running.stdout.readline() != "ready\n":
                sys.exit("the program has not become ready")
            core = Path(folder) / "core"
            live = gdb("-p", str(running.pid), "-ex", f"source {script}", "-ex", "flexsc fibers",
                       "-ex", f"generate-core-file {core}")
            check(live, "live")
            check(gdb(program, str(core), "-ex", f"source {script}", "-ex", "flexsc fibers"), "core")
            one = gdb(program, str(core), "-ex", f"source {script}", "-ex", "flexsc fibers locker")
            if "'reader'" in one or "'locker'" not in one:
                sys.exit(f"by name: {one}")
        finally:
            running.kill()
    print("as described")


if __name__ == "__main__":
    main()
