# SPDX-License-Identifier: MIT
"""Measures the keys of a book, in guests or where they say so on this machine, and says what they reach."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/harness"))

# pylint: disable=wrong-import-position
import accel  # noqa: E402
import boot  # noqa: E402
import cache_model  # noqa: E402
import figures  # noqa: E402
import initramfs  # noqa: E402
import kernels  # noqa: E402
import kmod  # noqa: E402
import qemu  # noqa: E402
import report  # noqa: E402
from guests import Book, Ground  # noqa: E402
from paths import BUILD, RIVALS, HarnessError  # noqa: E402

BOOT_SECONDS = 15
LIMIT_SECONDS = 900  # of a guest, and twice what its keys usually take
SHOW_SECONDS = 10  # between two lines of progress
# Pairs of guests where the cache model counts; it hardly differs from one to the next.
MODELLED = 5
QUICK_MODELLED = 1
TRUST_SECONDS = 30  # in the usual pace, until there is one of this run


class Progress:
    """How far all guests are, from what the programs say and from what each key usually takes."""

    def __init__(self, book: Book, boots: dict[tuple[Ground, str], list[str]]) -> None:
        self.book = book
        self.total = sum(self.guest_seconds(names) for names in boots.values())
        self.done = 0.0  # of total, by guests that booted and keys that are over
        self.now = 0.0  # of total, by the key that runs
        self.running = ""  # that key
        self.booting = False
        self.at_end = 0.0  # what done will be when this guest is over
        self.begun = time.monotonic()
        self.shown = 0.0

    def next_guest(self, names: list[str]) -> None:
        self.at_end = self.done + self.guest_seconds(names)
        self.booting = True

    def guest_over(self) -> None:
        """However it ended: what it did not do will not be done."""
        self.done = self.at_end
        self.now = 0.0
        self.running = ""
        self.booting = False

    def line(self, text: str) -> None:
        """A line of the guest: progress, or something to show."""
        words = text.split()
        if len(words) == 3 and words[0] == "progress":
            self._progress(words[1], float(words[2]))
        elif not text.startswith("[kernel]"):  # its complaints are reported in the end
            print(text, flush=True)

    def _progress(self, name: str, part: float) -> None:
        if self.booting:
            self.done += BOOT_SECONDS
            self.booting = False
        self.running = name
        self.now = part * self.book.seconds(name)
        if part == 1:
            self.done += self.now
            self.now = 0.0
            self.running = ""
        elif part == 0 or time.monotonic() - self.shown >= SHOW_SECONDS:
            self.shown = time.monotonic()
            print(f"  {name:<16} {part:4.0%}   about {figures.duration(self.left())} left",
                  flush=True)

    def guest_seconds(self, names: list[str]) -> float:
        return BOOT_SECONDS + sum(map(self.book.seconds, names))

    def left(self) -> float:
        """Seconds, by the pace so far; early on, by the usual one."""
        elapsed, done = time.monotonic() - self.begun, self.done + self.now
        pace = (elapsed + TRUST_SECONDS) / (done + TRUST_SECONDS)
        return max(self.total - done, 0) * pace


def quiet_wanted() -> None:
    """Says so where times are taken and the machine has something else to do."""
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"  this machine is busy (load {load:.1f} on {os.cpu_count()} CPUs): expect a wide spread",
              flush=True)


def lost(outcome: boot.Outcome, running: str) -> str:
    """Why a guest left no samples. The program writes them when it has taken all of them."""
    if outcome.timed_out:
        how = "the guest was stopped at its time limit"
    elif outcome.exit_status is None:
        how = "the guest died"
    else:
        how = f"the program ended with status {outcome.exit_status}"
    return f"no samples: {how}{f' in {running}' if running else ''}, see {outcome.log}"


def limit_of(book: Book, names: list[str]) -> float:
    """Seconds after which keys that are measured together are ended."""
    return LIMIT_SECONDS + 2 * sum(map(book.seconds, names))


def run_here(words: list[str], limit: float, progress: Progress) -> str:
    """Runs a program that takes samples, and all that it starts, on this machine. @returns how it ended"""
    env = {**os.environ, "PATH": f"{os.environ['PATH']}:{RIVALS}"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env,
                          errors="replace", start_new_session=True) as running:
        def end() -> None:
            try:
                os.killpg(running.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        watch = threading.Timer(limit, end)
        watch.start()
        try:
            for line in running.stdout:
                progress.line(line.rstrip("\n"))
            status = running.wait()
        finally:
            watch.cancel()
            end()  # servers that it started, if it could not end them: they may keep the module loaded
    where = f" in {progress.running}" if progress.running else ""
    if status == -signal.SIGKILL:
        return f"no samples: the program was ended at its time limit{where}"
    return f"no samples: the program ended with status {status}{where}"


def read_samples(file: Path) -> dict | None:
    """What the program wrote; None if it did not, or not to the end."""
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return None


def command(program: str, quick: bool, samples: str, names: list[str], *more: str) -> list[str]:
    """What takes the samples, in a guest and on a real machine."""
    return [program, *(["--quick"] if quick else []), "--json", samples, *more, *names]


def collected(ground: str, names: list[str], read: dict | None, why: str,
              problems: list[str]) -> report.Samples:
    """Of what a program wrote; `why` is the error of each key that is not in it."""
    read = read or {"results": {}, "errors": {}}
    results = {name: read["results"][name] for name in names if name in read["results"]}
    errors = {name: read["errors"].get(name, why) for name in names if name not in results}
    return report.Samples(ground, results, errors, problems)


def ground_text(machine: qemu.Machine) -> str:
    how = "instructions (icount)" if machine.icount else f"wall clock ({machine.accel})"
    if machine.plugin and not machine.icount:
        how = "instructions (of each vCPU)" if "caches=off" in machine.plugin else "modelled (cache model)"
    return f"{how}, {machine.cpus} vCPU, Linux {machine.kernel.release}"


def host_programs(book: Book, names: list[str]) -> dict[str, Path]:
    found = {}
    for name in {need for key in names for need in book[key].needs}:
        path = shutil.which(name, path=f"{os.environ['PATH']}:{RIVALS}")
        if path is None:
            raise HarnessError(f"{name} is not installed: run `./run setup`")
        found[name] = Path(path)
    return found


@dataclass
class Runner:
    """Measures keys in guests of one kernel."""

    book: Book
    kernel: kernels.Kernel
    quick: bool
    progress: Progress

    def measure(self, ground: Ground, program: str, names: list[str]) -> report.Samples:
        """The keys of one ground. What fails is in the result."""
        if ground.native:
            return self.natively(program, names)
        emulated = ground.icount or ground.counts
        machine = qemu.Machine(self.kernel, ground.cpus, ground.memory, ground.icount,
                               "tcg" if emulated else accel.choose(self.kernel, "auto"))
        if not emulated:
            quiet_wanted()
        if ground.counts:
            return self.model(machine, program, names, ground.counts)
        print(f"{ground_text(machine)}: {', '.join(names)}", flush=True)
        self.progress.next_guest(names)
        samples = self.boot(machine, program, names)
        self.progress.guest_over()
        return samples

    def natively(self, program: str, names: list[str]) -> report.Samples:
        """The keys of this machine."""
        where = f"wall clock, this machine, {os.cpu_count()} CPUs, Linux {os.uname().release}"
        quiet_wanted()
        print(f"{where}: {', '.join(names)}", flush=True)
        host_programs(self.book, names)  # whether they are there
        self.progress.next_guest(names)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "samples.json"
            words = command(str(BUILD / "bin" / program), self.quick, str(file), names)
            why = run_here(words, limit_of(self.book, names), self.progress)
            samples = collected(where, names, read_samples(file), why, [])
        self.progress.guest_over()
        return samples

    def boot(self, machine: qemu.Machine, program: str, names: list[str],
             *more: str, show: Callable[[str], None] | None = None) -> report.Samples:
        """One guest."""
        words = command(program, self.quick, "/out/samples.json", names, *more)
        payload = initramfs.Payload(" ".join(words), host_programs(self.book, names),
                                    module=kmod.build(self.kernel))
        with tempfile.TemporaryDirectory() as folder:
            limit = limit_of(self.book, names)
            outcome = boot.boot(boot.Run(f"bench-{names[0]}", machine, payload, round(limit),
                                         Path(folder), show=show or self.progress.line))
            read = read_samples(Path(folder) / "samples.json")
        why = lost(outcome, self.progress.running)
        return collected(ground_text(machine), names, read, why, outcome.problems)

    def model(self, machine: qemu.Machine, program: str, names: list[str],
              counts: str) -> report.Samples:
        """A guest for each sample, since the cache model counts once in a guest's life."""
        total = report.Samples("", {}, {}, [])
        count = QUICK_MODELLED if self.quick else MODELLED
        for name in names:
            if name in self.book.extras:
                self.model_table(machine, program, name, counts, total)
                continue
            key = self.book.keys[name]
            self.progress.next_guest([name])
            pairs: list[list[float]] = []
            for pair in range(count):
                print(f"  {name:<16} pair {pair + 1} of {count}   about "
                      f"{figures.duration(self.progress.left())} left", flush=True)
                sides = []
                for side in ("ours", "other"):
                    found = self.counted(machine, program, name, counts, total, cache_model.read, "--side", side)
                    if found is None:
                        break
                    sides.append(key.counted(*found))
                if len(sides) < 2:
                    break
                pairs.append(sides)
                self.progress.now = key.seconds * len(pairs) / count
            if name not in total.errors:
                total.results[name] = {"pairs": pairs}
            self.progress.guest_over()
        return total

    def counted(self, machine: qemu.Machine, program: str, name: str, counts: str, total: report.Samples,
                read: Callable[[Path], list], *more: str) -> tuple[dict, list] | None:
        """One guest that is counted in: what the program says, and what `read` finds. None if it failed; why is
        in the total then."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "counts.json"
            guest = replace(machine, plugin=cache_model.plugin(file, counts))
            total.ground = ground_text(guest)
            one = self.boot(guest, program, [name], *more, show=lambda _: None)
            total.problems.extend(one.problems)
            total.errors.update(one.errors)
            return None if one.errors else (one.results[name], read(file))

    def model_table(self, machine: qemu.Machine, program: str, name: str, counts: str,
                    total: report.Samples) -> None:
        """Some guests, in each of which all of a table is counted, between pairs of marks. One where the clock
        counts instructions too: the next would be the same."""
        extra = self.book.extras[name]
        self.progress.next_guest([name])
        answers = []
        count = QUICK_MODELLED if self.quick or machine.icount else MODELLED
        between = cache_model.places if counts == "functions" else cache_model.between_stops
        for number in range(count):
            print(f"  {name:<16} guest {number + 1} of {count}   about "
                  f"{figures.duration(self.progress.left())} left", flush=True)
            found = self.counted(machine, program, name, counts, total, between)
            if found is None:
                break
            answers.append(found)
            self.progress.now = extra.seconds * (number + 1) / count
        if name not in total.errors:
            total.results[name] = extra.modelled(answers)
        self.progress.guest_over()


def parse(book: Book, what: str, arguments: list[str]) -> argparse.Namespace:
    listed = "\n".join(f"  {key.name:<16} {key.what}" for key in book.keys.values())
    extras = "".join(f"\n  {extra.name:<16} {extra.what}" for extra in book.extras.values())
    others = f"\nonly if they are named:{extras}" if extras else ""
    parser = argparse.ArgumentParser(
        prog=f"./run bench {book.subject}", description=what,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"keys (default: all):\n{listed}{others}\n\n"
               "The status is 0 if everything could be measured, whatever the figures are.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--details", action="store_true",
                        help="in FILE, also what plots need: both sides, ratios by batch size")
    parser.add_argument("--kernel", default="6.1", metavar="K",
                        help="of the guest: 6.1 (default), 6.12, an image or a build tree")
    parser.add_argument("--quick", action="store_true",
                        help="a few samples only: whether it works, not how well")
    parser.add_argument("keys", nargs="*", metavar="KEY", help="what to measure")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.keys if name not in book]
    if unknown:
        parser.error(f"there is no key {', '.join(unknown)}; --help lists them")
    options.keys = list(dict.fromkeys(options.keys)) or list(book.keys)
    return options


def main(book: Book, what: str, arguments: list[str]) -> int:
    options = parse(book, what, arguments)
    chosen = kernels.select(options.kernel)
    if len(chosen) != 1:
        raise HarnessError("figures of several kernels do not go into one table: give one --kernel")
    boots = book.by_ground(options.keys)
    progress = Progress(book, boots)
    print(f"{len(options.keys)} to measure on {len(boots)} grounds, about "
          f"{figures.duration(progress.total)}", flush=True)
    runner = Runner(book, chosen[0], options.quick, progress)
    samples = [runner.measure(ground, program, names)
               for (ground, program), names in boots.items()]
    found = report.figures(book, samples, options.details)
    if options.json is not None:
        options.json.write_text(figures.as_text(found))
    print(report.text(book, samples))
    return 1 if any(each.errors or each.problems for each in samples) else 0


def run_as_program(book: Book, what: str) -> None:
    try:
        sys.exit(main(book, what, sys.argv[1:]))
    except HarnessError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
