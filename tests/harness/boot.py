# SPDX-License-Identifier: MIT
"""One command in one guest: boot, watch, judge, and boot again if the guest died too early."""

import functools
import io
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import initramfs
import qemu
import verdict
from paths import BUILD

BOOT_SECONDS = 120
SLOW_BOOT_SECONDS = 600  # a kernel that checks everything it does
ATTEMPTS = 2
POLL_SECONDS = 0.05
TIMED_OUT = 124
FAILED = 125  # the command returned 0, or nothing, and yet something is wrong


@dataclass(frozen=True)
class Run:
    name: str  # of the log
    machine: qemu.Machine
    payload: initramfs.Payload
    timeout: float = 120  # from the start mark on
    out: Path | None = None
    quiet: bool = False
    show: Callable[[str], None] = functools.partial(print, flush=True)


@dataclass
class Outcome:
    exit_status: int | None
    problems: list[str]
    seconds: float
    log: Path
    attempts: int = 1
    timed_out: bool = False
    started: bool = True
    left: str = ""

    @property
    def status(self) -> int:
        """For the caller's own exit."""
        if self.timed_out:
            return TIMED_OUT
        if self.exit_status:
            return self.exit_status
        return FAILED if self.problems or self.exit_status is None else 0


class Tail:
    """Lines that appear at the end of a growing file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = ""
        self._offset = 0
        self._rest = b""

    def read(self, last: bool = False) -> list[str]:
        if not self.path.exists():
            return []
        with open(self.path, "rb") as file:
            file.seek(self._offset)
            data = file.read()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if last and self._rest:
            lines.append(self._rest)
            self._rest = b""
        texts = [line.decode(errors="replace").rstrip("\r") for line in lines]
        self.text += "".join(text + "\n" for text in texts)
        return texts


@dataclass
class Screen:
    """Shows what arrives and keeps it: command output as it is, the kernel's lines marked."""

    log: io.TextIOBase
    quiet: bool
    show: Callable[[str], None]
    started: bool = field(default=False)

    def kernel(self, lines: list[str]) -> None:
        for line in lines:
            self._show(f"[kernel] {line}", self.started and verdict.MARK_PREFIX not in line)
            self.started = self.started or verdict.START_MARK in line

    def command(self, lines: list[str]) -> None:
        for line in lines:
            self._show(line, True)

    def note(self, text: str) -> None:
        self._show(f"guest: {text}", True)

    def _show(self, line: str, visible: bool) -> None:
        self.log.write(line + "\n")
        self.log.flush()
        if visible and not self.quiet:
            self.show(line)


def say(text: str) -> None:
    print(f"guest: {text}", flush=True)


@dataclass
class Watch:
    """Follows the ports of a running guest and keeps its time limits."""

    process: subprocess.Popen[bytes]
    files: qemu.Files
    screen: Screen
    console: Tail
    report: Tail
    output: Tail
    boot_seconds: float
    started_at: float | None = None

    def poll(self, last: bool = False) -> None:
        self.report.read(last)
        self.screen.command(self.output.read(last))
        self.screen.kernel(self.console.read(last))
        if self.started_at is None and verdict.parse_report(self.report.text).started:
            self.started_at = time.monotonic()

    def until_end(self, timeout: float) -> bool:
        """Returns whether the guest had to be stopped."""
        begun = time.monotonic()
        while self.process.poll() is None:
            self.poll()
            limit, since = (timeout, self.started_at) if self.started_at else (self.boot_seconds, begun)
            if time.monotonic() - since > limit:
                self.stop(limit)
                return True
            time.sleep(POLL_SECONDS)
        self.poll(last=True)
        return False

    def stop(self, limit: float) -> None:
        self.screen.note(f"time limit of {limit:g} s: stopping the guest; what its kernel says of "
                         "its tasks and of each CPU is in the log")
        # The kernel's answer is for the log: not for the screen, and no failure of its own.
        judged = self.console.text
        self.screen.quiet = True
        try:
            qemu.press_sysrq(self.files, "wtl")
            time.sleep(1)
        except OSError as error:
            self.screen.note(f"the emulator does not answer either: {error}")
        self.process.kill()
        self.process.wait()
        self.poll(last=True)
        self.console.text = judged


def collect_out(run: Run, files: qemu.Files, report: verdict.Report) -> list[str]:
    if run.out is None or report.out_status is None:
        return []
    run.out.mkdir(parents=True, exist_ok=True)
    result = subprocess.run(["tar", "-C", str(run.out), "--no-same-owner", "-xf",
                             str(files.port(2))], capture_output=True, text=True, check=False)
    return [f"the files of /out arrived damaged: {result.stderr}"] if result.returncode else []


def attempt(run: Run, log: Path) -> Outcome:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="flexsc-guest-") as folder, \
            open(log, "w", encoding="utf-8") as log_file:
        files = qemu.Files(Path(folder))
        initramfs.pack(run.payload, files.initrd)
        process = qemu.start(run.machine, files)
        watch = Watch(process, files, Screen(log_file, run.quiet, run.show), Tail(files.port(0)),
                      Tail(files.port(1)), Tail(files.port(3)),
                      SLOW_BOOT_SECONDS if run.machine.kernel.slow else BOOT_SECONDS)
        try:
            timed_out = watch.until_end(run.timeout)
        finally:
            process.kill()
            process.wait()
        report = verdict.parse_report(watch.report.text)
        problems = verdict.judge(report, watch.console.text, timed_out)
        problems += collect_out(run, files, report)
        shutil.copyfileobj(open(files.folder / "qemu.txt", encoding="utf-8"), log_file)
    if timed_out:
        problems.insert(0, f"stopped after {run.timeout:g} s")
    return Outcome(report.exit_status, problems, time.monotonic() - begun, log,
                   timed_out=timed_out, started=report.started, left=report.left)


def boot(run: Run) -> Outcome:
    """
    A guest that dies or hangs before its start mark, and so before the module is loaded, is booted
    once more: the emulator now and then fails there. After the mark nothing is tried again.
    """
    log = BUILD / "guest" / f"{run.name}-{run.machine.kernel.release}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    for number in range(1, ATTEMPTS + 1):
        outcome = attempt(run, log)
        outcome.attempts = number
        if outcome.started:
            return outcome
        if not run.quiet:
            lines = log.read_text(errors="replace").splitlines()[-15:]
            say(f"died before its start (attempt {number} of {ATTEMPTS}); the end of {log}:\n  "
                + "\n  ".join(lines))
    outcome.problems = ["the guest did not boot"]
    outcome.timed_out = False
    return outcome


def describe(run: Run, outcome: Outcome) -> str:
    machine = run.machine
    mode = "tcg with icount" if machine.icount else machine.accel
    exit_text = "no exit status" if outcome.exit_status is None else f"exit {outcome.exit_status}"
    lines = [f"Linux {machine.kernel.release}, {mode}, {machine.cpus} CPU(s): {exit_text} "
             f"after {outcome.seconds:.1f} s, log {outcome.log}"]
    lines += [f"PROBLEM: {problem}" for problem in outcome.problems]
    if outcome.left:
        lines.append(f"processes the command left behind were ended: {outcome.left}")
    return "\n".join(f"guest: {line}" for line in lines)


def announce(run: Run, outcome: Outcome) -> None:
    print(describe(run, outcome), flush=True)
