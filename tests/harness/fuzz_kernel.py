# SPDX-License-Identifier: MIT
"""The module as a target of `./run fuzz`: guests, one after the other, each with the corpus so far."""

import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import accel
import boot
import build
import initramfs
import kernels
import kmod
import module_blocks
import qemu
from paths import HarnessError

NAME = "kernel"
PROGRAM = "flexsc-fuzz-kernel"
# A lost guest loses what it found: none runs longer.
ROUND_SECONDS = 600
# What it may take besides: the corpus is run before the time begins to count, and leaks are looked for.
MARGIN_SECONDS = 900
MOST_BYTES = 448
# A guest waits whenever its host does, and must not take that for a stall; what really hangs is found by
# the fuzzer, which waits for the end of each input.
APPEND = "rcupdate.rcu_cpu_stall_timeout=300"
# Leaks are looked for once, at the end.
PREPARE = ("if [ -w /sys/kernel/debug/kmemleak ]; then echo scan=off >/sys/kernel/debug/kmemleak; fi; "
           "export FLEXSC_FUZZ_TELL=1; mkdir -p /corpus /out/corpus")

# Inputs before the one that was the last: what is wrong may have begun earlier.
LAST_INPUTS = 16

# What is kept reaches the same, but not as often: it has to stay small.
MERGE = ("-merge=1", "-use_counters=0")

INPUT = re.compile(r"flexsc-fuzz: input ?([0-9a-f]*)$")


def last_inputs(log: str) -> list[bytes]:
    """The inputs that ran before the end; the last one last."""
    found = (INPUT.search(line) for line in log.splitlines())
    return [bytes.fromhex(each[1]) for each in found if each and len(each[1]) % 2 == 0][-LAST_INPUTS:]


def show(line: str) -> None:
    if not INPUT.search(line):
        print(line, flush=True)


@dataclass
class Session:
    """Guests for one purpose."""

    kernel_name: str
    cpus: int
    corpus: Path
    failed: Path

    @property
    def kernel(self) -> kernels.Kernel:
        chosen = kernels.select(self.kernel_name)
        if len(chosen) != 1:
            raise HarnessError("the fuzzer runs in one kernel at a time")
        return chosen[0]

    def guest(self, program: Path, command: str, files: Sequence[tuple[Path, str]], timeout: float,
              out: Path | None = None) -> boot.Outcome:
        kernel = self.kernel
        machine = qemu.Machine(kernel, self.cpus, kernel.memory, accel=accel.choose(kernel, "auto"),
                               append=APPEND)
        payload = initramfs.Payload(command, {PROGRAM: program}, tuple(files), kmod.build(kernel))
        run = boot.Run("fuzz", machine, payload, timeout, out, show=show)
        outcome = boot.boot(run)
        boot.announce(run, outcome)
        return outcome

    def round(self, seconds: int, seed: int) -> boot.Outcome:
        """What it finds is in the corpus afterwards, also if it fails."""
        out = self.corpus.parent / f"{self.corpus.name}-out"
        shutil.rmtree(out, ignore_errors=True)
        command = (f"{PREPARE} && {PROGRAM} -max_total_time={seconds} -seed={seed} "
                   f"-max_len={MOST_BYTES} -rss_limit_mb=0 -detect_leaks=0 -reload=0 "
                   "-artifact_prefix=/out/ -print_final_stats=1 /out/corpus /corpus 2>&1")
        outcome = self.guest(build.target(PROGRAM, "fuzz"), command, [(self.corpus, "/corpus")],
                             seconds + MARGIN_SECONDS, out)
        for path in (out / "corpus").glob("*"):
            shutil.copy(path, self.corpus)
        if (out / "reached").exists():
            print(module_blocks.summary(kmod.build(self.kernel), out / "reached"), flush=True)
        return outcome

    def fuzz(self, seconds: int, seed: int) -> int:
        left = seconds
        number = 0
        while left > 0:
            part = min(left, ROUND_SECONDS)
            outcome = self.round(part, seed + number)
            if outcome.status:
                self.save_failure(outcome)
                return 1
            left -= part
            number += 1
        print(f"fuzz: {sum(1 for _ in self.corpus.iterdir())} inputs in {self.corpus}", flush=True)
        return 0

    def save_failure(self, outcome: boot.Outcome) -> None:
        inputs = last_inputs(outcome.log.read_text(errors="replace"))
        folder = self.failed / f"{NAME}-{time.strftime('%Y%m%d-%H%M%S')}"
        folder.mkdir(parents=True)
        for number, data in enumerate(inputs):
            (folder / f"{number:02}").write_bytes(data)
        shutil.copy(outcome.log, folder.with_suffix(".log"))
        print(f"fuzz: the last {len(inputs)} inputs are in {folder}; again: ./run fuzz --kernel "
              f"{self.kernel_name} --replay {folder}/*", flush=True)

    def replay(self, files: Sequence[Path]) -> int:
        program = build.target(PROGRAM)
        placed = [(path, f"/inputs/{number:04}-{path.name}") for number, path in enumerate(files)]
        return self.guest(program, f"{PROGRAM} /inputs", placed, MARGIN_SECONDS).status

    def minimised(self) -> Path:
        """A folder with as few inputs of the corpus as reach all that it reaches."""
        out = self.corpus.parent / f"{self.corpus.name}-kept"
        shutil.rmtree(out, ignore_errors=True)
        command = (f"{PREPARE} /out/kept && {PROGRAM} {' '.join(MERGE)} -max_len={MOST_BYTES} -rss_limit_mb=0 "
                   "-detect_leaks=0 /out/kept /corpus 2>&1")
        outcome = self.guest(build.target(PROGRAM, "fuzz"), command, [(self.corpus, "/corpus")],
                             3 * MARGIN_SECONDS, out)
        if outcome.status:
            self.save_failure(outcome)
            raise HarnessError("the corpus could not be minimised")
        return out / "kept"
