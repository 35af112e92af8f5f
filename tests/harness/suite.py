# SPDX-License-Identifier: MIT
"""
The guest suite: each line is one guest, booted in every kernel. To add a test that needs the
module, add a line to SUITES; a GoogleTest program build/bin/flexsc-guest-* needs none, it is found.
"""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import accel
import boot
import counts
import debug_kernel
import initramfs
import kernels
import kmod
import qemu
from paths import BUILD, ROOT, HarnessError

# Series whose absence is accepted, separated by spaces.
ALLOW_MISSING = "FLEXSC_ALLOW_MISSING_KERNELS"


@dataclass(frozen=True)
class Suite:
    name: str
    commands: tuple[str, ...]  # for the guest's shell, one after the other
    gtest: bool = True  # counts each case; otherwise all commands together are one test
    cpus: int = 2
    timeout: float = 480
    append: str = ""  # to the kernel's command line
    module: bool = True
    host_files: tuple[tuple[str, str], ...] = ()  # (path here, path in the guest)


FUZZ_CORPUS = (str(ROOT / "tests/fuzz/corpus/kernel"), "/corpus")
FUZZ_CORPUS_COMMAND = "flexsc-fuzz-kernel /corpus"

SUITES: tuple[Suite, ...] = (
    Suite("module-reload", (
        "for i in 1 2 3 4 5; do rmmod flexsc && insmod /lib/flexsc.ko || exit 1; done; "
        "test -c /dev/flexsc",), gtest=False,
        # Emulated text patching can hang with a second CPU that runs what is patched.
        cpus=1),
    # The native tests skip what needs the module; here it is.
    Suite("native-tests-on-the-module",
          tuple(f"{program} --gtest_filter='*/kernel'"
                for program in ("libflexsc-tests", "scheduler-test", "intercept-test"))),
    # What the kernels' own io_uring makes of them. The calls of the handshake tests go to threads,
    # which sleep and wake by the hundred thousand: minutes here, and nothing of io_uring.
    Suite("native-tests-on-io_uring",
          tuple(f"{program} --gtest_filter='*/uring:*Uring*-HandshakeTest.*'"
                for program in ("libflexsc-tests", "scheduler-test", "intercept-test")),
          module=False),
    # Thousands of calls, good and bad, made directly and by each engine; all of them would take
    # minutes here. What threads do is not the kernel's, so fewer show that it holds here too.
    Suite("conformance", ("conformance-tests --every 3 --gtest_filter='*/kernel_*:*/uring_*'",
                          "conformance-tests --every 8 --gtest_filter='*/threads_*'")),
    # The server's models on engines that depend on the kernel.
    Suite("http-on-the-module", ("flexsc-http-tests --gtest_filter='*_kernel:*_kernel_single:*_uring'",), cpus=3),
    # Random use by many processes, to which random things happen. `./run stress` does more of it.
    Suite("stress", ("flexsc-stress --seed 1 --operations 8000",
                     "flexsc-stress --seed 2 --operations 3000 --processes 12"), gtest=False),
    # What the fuzzer found worth keeping. `./run fuzz` finds more.
    Suite("fuzz-corpus", (FUZZ_CORPUS_COMMAND,), gtest=False, host_files=(FUZZ_CORPUS,)),
)


# What runs on the kernel that checks memory, locks and leaks, where there is one (./run debug-kernel);
# all of it would take too long for every day.
DEBUG_KERNEL = "kasan"
# Where allocations fail, kmemleak fails too, and says so under a lock under which it must not print:
# after that, lockdep reports nothing more.
NO_KMEMLEAK = "kmemleak=off"
DEBUG_SUITES: tuple[Suite, ...] = (
    Suite("checked-kernel", (
        "flexsc-guest-tests --gtest_filter='Abi.*:Narrow.*:Limits.*:Garbage*:Close*:Stop*:Death*:"
        "Identity*:Seccomp*:Chain*:Arming*:Cancel.*:Deadline.*:Help*:PoolChange*:Flush*:TaskWork*'",)),
    Suite("checked-stress", ("flexsc-stress --seed 3 --operations 4000 --plenty",), gtest=False),
    Suite("checked-fuzz-corpus", (FUZZ_CORPUS_COMMAND,), gtest=False, host_files=(FUZZ_CORPUS,)),
)
SLOWER = 5  # what takes so long on a usual kernel takes at most so many times longer on that one


def results_name(number: int) -> str:
    return f"results-{number}.json"


def shell_line(suite: Suite) -> str:
    """Runs every command, and ends with the status of the last one that failed."""
    lines = list(suite.commands)
    if suite.gtest:
        lines = [f"{command} --gtest_output=json:/out/{results_name(number)}"
                 for number, command in enumerate(suite.commands)]
    return "status=0\n" + "".join(f"( {line} ) || status=$?\n" for line in lines) + "exit $status"


def is_gtest(path: Path) -> bool:
    return b"gtest_output" in path.read_bytes()


def discovered() -> list[Suite]:
    """Built test programs that no line above runs."""
    named = {word for suite in SUITES for command in suite.commands
             for word in re.findall(r"flexsc-guest-[\w-]+", command)}
    return [Suite(name, (name,)) for name, path in initramfs.built_programs().items()
            if name.startswith("flexsc-guest-") and name not in named and is_gtest(path)]


def all_suites() -> list[Suite]:
    return [*SUITES, *discovered()]


def run_one(suite: Suite, kernel: kernels.Kernel) -> counts.Counts:
    out = BUILD / "guest/out" / f"{suite.name}-{kernel.release}"
    shutil.rmtree(out, ignore_errors=True)
    machine = qemu.Machine(kernel, suite.cpus, kernel.memory, accel=accel.choose(kernel, "auto"),
                           append=suite.append)
    module = kmod.build(kernel) if suite.module else None
    payload = initramfs.Payload(shell_line(suite), module=module,
                                files=tuple((Path(host), guest)
                                            for host, guest in suite.host_files))
    run = boot.Run(suite.name, machine, payload, suite.timeout * (SLOWER if kernel.slow else 1), out)
    print(f"\n-- {suite.name} on Linux {kernel.release}", flush=True)
    outcome = boot.boot(run)
    boot.announce(run, outcome)
    return count(suite, kernel, outcome, out)


def count_gtest(command: str, results: Path, exit_status: int | None) -> counts.Counts:
    total = counts.Counts()
    if results.exists():
        total = counts.from_gtest(results)
        total.failures = [f"{command.split()[0]}: {name}" for name in total.failures]
        if total.passed + total.failed + total.skipped == 0:
            total.fail(f"{command}: ran no test")
    else:
        total.fail(f"{command}: left no results (exit {exit_status})")
    return total


def count(suite: Suite, kernel: kernels.Kernel, outcome: boot.Outcome, out: Path) -> counts.Counts:
    """Every way to go wrong counts, also one that the test program could not report itself."""
    label = f"{suite.name} on {kernel.release}"
    total = counts.Counts()
    if suite.gtest:
        for number, command in enumerate(suite.commands):
            total.add(count_gtest(command, out / results_name(number), outcome.exit_status))
        total.failures = [f"{label}: {name}" for name in total.failures]
    elif outcome.exit_status == 0:
        total.passed += 1
    else:
        total.fail(f"{label}: exit {outcome.exit_status}")
    if outcome.exit_status not in (0, None) and not total.failed:
        total.fail(f"{label}: exit {outcome.exit_status} although no case failed")
    for problem in outcome.problems:
        total.fail(f"{label}: {problem}")
    return total


def missing_kernel(series: str, suites: list[Suite], error: HarnessError) -> counts.Counts:
    total = counts.Counts()
    print(f"\nLinux {series} was NOT tested: {error}", flush=True)
    if series in os.environ.get(ALLOW_MISSING, "").split():
        for suite in suites:
            total.skip(f"{suite.name} on {series}: kernel not available")
    else:
        print(f"To accept that: {ALLOW_MISSING}={series}", flush=True)
        for suite in suites:
            total.fail(f"{suite.name} on {series}: kernel not available")
    return total


def run_debug(pattern: str) -> counts.Counts:
    """The short suite on the debug kernel, if that is built."""
    total = counts.Counts()
    suites = [suite for suite in DEBUG_SUITES if pattern in suite.name]
    try:
        kernel = debug_kernel.find(DEBUG_KERNEL) if suites else None
    except HarnessError as error:
        print(f"\nNothing was tested on a debug kernel: {error}", flush=True)
        for suite in suites:
            total.skip(f"{suite.name}: {error}")
        return total
    for suite in suites:
        total.add(run_one(suite, kernel))
    return total


def run(pattern: str = "") -> counts.Counts:
    """All suites whose name contains the pattern, in all supported kernels."""
    suites = [suite for suite in all_suites() if pattern in suite.name]
    total = counts.Counts()
    if not any(suite.gtest for suite in suites) and not pattern:
        total.fail("no guest test program flexsc-guest-* is built")
    for series in kernels.SERIES:
        try:
            kernel = kernels.find(series)
        except HarnessError as error:
            total.add(missing_kernel(series, suites, error))
            continue
        for suite in suites:
            try:
                total.add(run_one(suite, kernel))
            except HarnessError as error:
                print(f"error: {error}", flush=True)
                total.fail(f"{suite.name} on {kernel.release}: {error}")
    total.add(run_debug(pattern))
    return total
