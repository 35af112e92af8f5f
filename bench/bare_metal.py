# SPDX-License-Identifier: MIT
"""
Measures on a real machine: the module is loaded into its own kernel, once its user has said yes, the
programs that take the samples run directly, and the module is removed again, whatever happens.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import guest_run
import kernels
import kmod
import report
from guests import Book
from paths import BUILD, HarnessError
from real_machine import Check, Host, listed, may_load, quiet
from wording import BARE_METAL, in_time

DEVICE = Path("/dev/flexsc")
YES = "yes"
APPEAR_SECONDS = 10  # for the device, after the module was loaded
UNLOAD_SECONDS = 30  # until nobody has the device open any more
POLL_SECONDS = 0.1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COMPLAINTS = 1 << 9 | 1 << 7  # of the kernel's taint: it has warned, or it has died
ADMIN_PATH = "/usr/sbin:/sbin"  # not in everybody's PATH
WHY_NOT = {
    "Key was rejected": "Secure Boot wants a signed module: docs/bare-metal.md says how to sign it",
    "Required key not available": "Secure Boot wants a signed module: docs/bare-metal.md says how to sign it",
    "Operation not permitted": "this kernel, or the container that this runs in, lets nobody load modules: "
                               "run it on the machine itself, and see `cat /proc/sys/kernel/modules_disabled`",
    "Invalid module format": "it was built for another kernel: install linux-headers-$(uname -r), and "
                             "remove the build directory's folder kmod",
    "File exists": "flexsc is loaded already: `rmmod flexsc`",
}
ELSE_WHY_NOT = "`dmesg | tail` says more; docs/bare-metal.md says what to do about it"


def tell(checks: list[Check]) -> None:
    """@throws HarnessError if one of them is fatal."""
    for check in checks:
        print(f"  {check.name:<14} {check.found}" + (f"\n  {'':<14} ! {check.advice}" if check.advice else ""),
              flush=True)
    fatal = [f"{check.name}: {check.found}: {check.advice}" for check in checks if check.fatal]
    if fatal:
        raise HarnessError("this machine cannot be measured on:\n  " + "\n  ".join(fatal)
                           + "\n`./run bench` measures in guests instead")


def confirm(module: Path, release: str, cpus: list[int], yes: bool) -> None:
    """Says what will be done. @throws HarnessError unless the user wants it."""
    print(f"\nThis will load {module}\ninto the running kernel, {release}: code of this project then runs with "
          "all the rights of\nthe kernel, and an error in it can crash the machine or harm what is on it. "
          f"The programs\nthat measure run as root, on CPUs {listed(cpus)}, which they keep busy. After it, "
          "and after Ctrl-C,\nthe module is removed again.", flush=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise HarnessError("nothing was loaded: there is no terminal to ask on. To load it without being "
                           "asked: --yes")
    print(f"To go on, type {YES}: ", end="", flush=True)
    if sys.stdin.readline().strip() != YES:
        raise HarnessError("nothing was loaded: the answer was not yes")


def administer(*words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": f"{os.environ['PATH']}:{ADMIN_PATH}", "LC_ALL": "C"}
    try:
        return subprocess.run(words, check=False, capture_output=True, text=True, env=env,
                              start_new_session=True)  # Ctrl-C does not reach it
    except FileNotFoundError as error:
        raise HarnessError(f"{words[0]} is not installed: apt install kmod") from error


def unload() -> None:
    """@throws HarnessError if it stays."""
    end = time.monotonic() + UNLOAD_SECONDS
    while (done := administer("rmmod", "flexsc")).returncode != 0:
        if time.monotonic() >= end:
            raise HarnessError(f"THE MODULE IS STILL LOADED: {done.stderr.strip()}. End who has {DEVICE} "
                               f"open (`fuser -v {DEVICE}`), then `rmmod flexsc`")
        time.sleep(POLL_SECONDS)
    print("The module was removed.", flush=True)


def load(module: Path, device: Path) -> None:
    done = administer("insmod", str(module))
    if done.returncode != 0:
        said = done.stderr.strip()
        advice = next((what for part, what in WHY_NOT.items() if part in said), ELSE_WHY_NOT)
        raise HarnessError(f"the module could not be loaded, and nothing was changed: {said}\n{advice}")
    end = time.monotonic() + APPEAR_SECONDS
    while not device.exists():
        if time.monotonic() >= end:
            unload()
            raise HarnessError(f"the module was loaded, but {device} did not appear: is udev running, or "
                               "devtmpfs on /dev?")
        time.sleep(POLL_SECONDS)
    print("The module was loaded.", flush=True)


def end_now(number: int, _frame: FrameType | None) -> None:
    """The first signal ends it all; further ones must not end the removal of the module."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise SystemExit(128 + number)


@contextmanager
def loaded(module: Path, device: Path = DEVICE) -> Iterator[None]:
    """The module is in the kernel, and is removed in the end, also if it is ended by a signal."""
    before = {number: signal.signal(number, end_now) for number in SIGNALS}
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # between loading and the `try` that removes it
    try:
        load(module, device)
        try:
            try:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)  # what has come meanwhile ends it here
                yield
            finally:
                signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        finally:  # of its own: the first signal may strike in the `finally` above
            unload()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass
class Site:
    """A machine with the module loaded, and what takes samples on it."""

    host: Host
    cpus: list[int]
    quick: bool
    programs: Path = BUILD / "bin"
    left_out: dict[str, str] = field(default_factory=dict)  # `subject key`, and why

    @property
    def ground(self) -> str:
        return f"{BARE_METAL}, wall clock, Linux {self.host.release}"

    def possible(self, book: Book, names: list[str]) -> list[str]:
        """Those that can be measured here; why others cannot is in left_out."""
        found = []
        for name in names:
            ground = book[name].ground
            if ground.counts and not self.counts_here(book, name):
                why = "the emulator counts it, in a guest"
            elif ground.cpus > len(self.cpus):
                why = f"it needs {ground.cpus} CPUs, there are {len(self.cpus)}"
            else:
                found.append(name)
                continue
            self.left_out[f"{book.subject} {name}"] = why
        return found

    @staticmethod
    def counts_here(book: Book, name: str) -> bool:
        return name in book.extras and book.extras[name].in_hardware is not None

    def from_counters(self, book: Book, samples: report.Samples) -> None:
        """Where the processor has counted instead of the cache model: its samples, or why it has not."""
        for name in [name for name in samples.results if self.counts_here(book, name)]:
            try:
                samples.results[name] = book.extras[name].in_hardware(samples.results[name])
            except HarnessError as error:
                del samples.results[name]
                self.left_out[f"{book.subject} {name}"] = str(error)

    def tainted(self) -> int:
        return int(self.host.text("proc/sys/kernel/tainted") or "0")

    def pinned(self, cpus: int) -> tuple[str, ...]:
        """For a command line: as many CPUs as a guest would have, see cpu() in bench/program.hpp."""
        return "taskset", "-c", listed(self.cpus[:cpus])

    def words(self, program: str, cpus: int, samples: str, names: Sequence[str]) -> list[str]:
        return [*self.pinned(cpus), *guest_run.command(program, self.quick, samples, names)]

    def measure(self, book: Book, names: list[str]) -> list[report.Samples]:
        boots = book.boots(self.possible(book, names))
        progress = guest_run.Progress(book, boots)
        found = []
        for boot in boots:
            guest = progress.guest(boot)
            limit = guest_run.limit_of(book, boot.names)
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "samples.json"
                words = self.words(str(self.programs / boot.program), boot.ground.cpus, str(file), boot.names)
                why = guest_run.run_here(words, limit, guest)
                found.append(guest_run.collected(self.ground, boot.names, guest_run.read_samples(file), why, []))
            self.from_counters(book, found[-1])
            guest.over()
        return found


def entries(book: Book, samples: list[report.Samples]) -> dict[str, dict]:
    """As in the file of --json, in words that are true of times."""
    found = report.figures(book, samples, detailed=True)
    for name, figure in found.items():
        figure["unit"] = in_time(figure["unit"])
        figure["what"] = in_time(book[name].what)
    return found


@contextmanager
def site(quick: bool, yes: bool, host: Host = Host()) -> Iterator[Site]:
    """Looks at the machine, asks, and loads the module. @throws HarnessError if it is not to be."""
    print("This machine:", flush=True)
    tell([*may_load(host, os.geteuid()), *quiet(host)])
    release = host.release
    module = kmod.build(kernels.Kernel(release, Path(), host.headers))
    confirm(module, release, host.chosen(), yes)
    with loaded(module):
        yield Site(host, host.chosen(), quick)
