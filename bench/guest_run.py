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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/harness"))

# pylint: disable=wrong-import-position
import accel  # noqa: E402
import boot as emulator  # noqa: E402
import cache_model  # noqa: E402
import figures  # noqa: E402
import initramfs  # noqa: E402
import kernels  # noqa: E402
import kmod  # noqa: E402
import qemu  # noqa: E402
import report  # noqa: E402
from guests import Book, Boot  # noqa: E402
from paths import BUILD, RIVALS, HarnessError  # noqa: E402
from progress import Guest, Progress  # noqa: E402

LIMIT_SECONDS = 900  # of a guest, and twice what its keys usually take
# Pairs of guests where the cache model counts; it hardly differs from one to the next.
MODELLED = 5
QUICK_MODELLED = 1


def quiet_wanted() -> None:
    """Says so where times are taken and the machine has something else to do."""
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"  this machine is busy (load {load:.1f} on {os.cpu_count()} CPUs): expect a wide spread",
              flush=True)


def lost(outcome: emulator.Outcome, running: str) -> str:
    """Why a guest left no samples. The program writes them when it has taken all of them."""
    if outcome.timed_out:
        how = "the guest was stopped at its time limit"
    elif outcome.exit_status is None:
        how = "the guest died"
    else:
        how = f"the program ended with status {outcome.exit_status}"
    return f"no samples: {how}{f' in {running}' if running else ''}, see {outcome.log}"


def limit_of(book: Book, names: Sequence[str]) -> float:
    """Seconds after which keys that are measured together are ended."""
    return LIMIT_SECONDS + 2 * sum(map(book.seconds, names))


def run_here(words: list[str], limit: float, guest: Guest) -> str:
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
                guest.line(line.rstrip("\n"))
            status = running.wait()
        finally:
            watch.cancel()
            end()  # servers that it started, if it could not end them: they may keep the module loaded
    where = f" in {guest.running}" if guest.running else ""
    if status == -signal.SIGKILL:
        return f"no samples: the program was ended at its time limit{where}"
    return f"no samples: the program ended with status {status}{where}"


def read_samples(file: Path) -> dict | None:
    """What the program wrote; None if it did not, or not to the end."""
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return None


def command(program: str, quick: bool, samples: str, names: Sequence[str], *more: str) -> list[str]:
    """What takes the samples, in a guest and on a real machine."""
    return [program, *(["--quick"] if quick else []), "--json", samples, *more, *names]


def collected(ground: str, names: Sequence[str], read: dict | None, why: str,
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


def host_programs(book: Book, names: Sequence[str]) -> dict[str, Path]:
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

    def measure(self, boot: Boot) -> report.Samples:
        """What fails is in the result."""
        if boot.ground.native:
            return self.natively(boot)
        ground = boot.ground
        emulated = ground.icount or ground.counts
        machine = qemu.Machine(self.kernel, ground.cpus, ground.memory, ground.icount,
                               "tcg" if emulated else accel.choose(self.kernel, "auto"))
        if not emulated:
            quiet_wanted()
        guest = self.progress.guest(boot)
        if ground.counts:
            samples = self.model(machine, boot, guest)
        else:
            print(f"{ground_text(machine)}: {', '.join(boot.names)}", flush=True)
            samples = self.boot(machine, boot, guest)
        guest.over()
        return samples

    def natively(self, boot: Boot) -> report.Samples:
        """The keys of this machine."""
        where = f"wall clock, this machine, {os.cpu_count()} CPUs, Linux {os.uname().release}"
        quiet_wanted()
        print(f"{where}: {', '.join(boot.names)}", flush=True)
        host_programs(self.book, boot.names)  # whether they are there
        guest = self.progress.guest(boot)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "samples.json"
            words = command(str(BUILD / "bin" / boot.program), self.quick, str(file), boot.names)
            why = run_here(words, limit_of(self.book, boot.names), guest)
            samples = collected(where, boot.names, read_samples(file), why, [])
        guest.over()
        return samples

    def boot(self, machine: qemu.Machine, boot: Boot, guest: Guest, *more: str,
             show: Callable[[str], None] | None = None) -> report.Samples:
        """One guest."""
        words = command(boot.program, self.quick, "/out/samples.json", boot.names, *more)
        payload = initramfs.Payload(" ".join(words), host_programs(self.book, boot.names),
                                    module=kmod.build(self.kernel))
        with tempfile.TemporaryDirectory() as folder:
            limit = limit_of(self.book, boot.names)
            outcome = emulator.boot(emulator.Run(f"bench-{boot.names[0]}", machine, payload, round(limit),
                                                 Path(folder), show=show or guest.line))
            read = read_samples(Path(folder) / "samples.json")
        why = lost(outcome, guest.running)
        return collected(ground_text(machine), boot.names, read, why, outcome.problems)

    def model(self, machine: qemu.Machine, boot: Boot, guest: Guest) -> report.Samples:
        """A guest for each sample, since the cache model counts once in a guest's life."""
        total = report.Samples("", {}, {}, [])
        name, = boot.names
        if name in self.book.extras:
            self.model_table(machine, boot, guest, total)
            return total
        key = self.book.keys[name]
        count = QUICK_MODELLED if self.quick else MODELLED
        pairs: list[list[float]] = []
        for pair in range(count):
            guest.key(name, pair / count, f"pair {pair + 1} of {count}")
            sides = []
            for side in ("ours", "other"):
                found = self.counted(machine, boot, guest, total, cache_model.read, "--side", side)
                if found is None:
                    return total
                sides.append(key.counted(*found))
            pairs.append(sides)
        total.results[name] = {"pairs": pairs}
        return total

    def counted(self, machine: qemu.Machine, boot: Boot, guest: Guest, total: report.Samples,
                read: Callable[[Path], list], *more: str) -> tuple[dict, list] | None:
        """One guest that is counted in: what the program says, and what `read` finds. None if it failed; why is
        in the total then."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "counts.json"
            machine = replace(machine, plugin=cache_model.plugin(file, boot.ground.counts))
            total.ground = ground_text(machine)
            one = self.boot(machine, boot, guest, *more, show=lambda _: None)
            total.problems.extend(one.problems)
            total.errors.update(one.errors)
            return None if one.errors else (one.results[boot.names[0]], read(file))

    def model_table(self, machine: qemu.Machine, boot: Boot, guest: Guest, total: report.Samples) -> None:
        """Some guests, in each of which all of a table is counted, between pairs of marks. One where the clock
        counts instructions too: the next would be the same."""
        name, = boot.names
        answers = []
        count = QUICK_MODELLED if self.quick or machine.icount else MODELLED
        between = cache_model.places if boot.ground.counts == "functions" else cache_model.between_stops
        for number in range(count):
            guest.key(name, number / count, f"guest {number + 1} of {count}")
            found = self.counted(machine, boot, guest, total, between)
            if found is None:
                return
            answers.append(found)
        total.results[name] = self.book.extras[name].modelled(answers)


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


def measure(runner: Runner, lanes: list[list[Boot]]) -> list[report.Samples]:
    """All lanes but the last side by side, then that one."""
    *exact, rest = lanes
    pool = ThreadPoolExecutor(len(exact))
    try:
        found = [samples for lane in pool.map(lambda lane: [*map(runner.measure, lane)], exact) for samples in lane]
    finally:
        pool.shutdown(cancel_futures=True)
    return found + [*map(runner.measure, rest)]


def main(book: Book, what: str, arguments: list[str]) -> int:
    options = parse(book, what, arguments)
    chosen = kernels.select(options.kernel)
    if len(chosen) != 1:
        raise HarnessError("figures of several kernels do not go into one table: give one --kernel")
    lanes = book.lanes(options.keys, os.cpu_count() or 1)
    boots = [boot for lane in lanes for boot in lane]
    progress = Progress(book, boots, sum(map(bool, lanes[:-1])))
    print(f"{len(options.keys)} to measure on {len(boots)} grounds, about "
          f"{figures.duration(progress.total)}", flush=True)
    samples = measure(Runner(book, chosen[0], options.quick, progress), lanes)
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
