#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures the kernel service in guests and says what it reaches."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "tests/harness")]

# pylint: disable=wrong-import-position
import accel  # noqa: E402
import boot  # noqa: E402
import figures  # noqa: E402
import initramfs  # noqa: E402
import kernels  # noqa: E402
import keys  # noqa: E402
import kmod  # noqa: E402
import qemu  # noqa: E402
import report  # noqa: E402
from paths import HarnessError  # noqa: E402

BOOT_SECONDS = 15
LIMIT_SECONDS = 900
SHOW_SECONDS = 10  # between two lines of progress
TRUST_SECONDS = 30  # in the usual pace, until there is one of this run


class Progress:
    """How far all guests are, from what the programs say and from what each key usually takes."""

    def __init__(self, boots: dict[tuple[keys.Ground, str], list[str]]) -> None:
        self.total = sum(guest_seconds(names) for names in boots.values())
        self.done = 0.0  # of total, by guests that booted and keys that are over
        self.now = 0.0  # of total, by the key that runs
        self.running = ""  # that key
        self.booting = False
        self.at_end = 0.0  # what done will be when this guest is over
        self.begun = time.monotonic()
        self.shown = 0.0

    def next_guest(self, names: list[str]) -> None:
        self.at_end = self.done + guest_seconds(names)
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
        self.now = part * keys.seconds(name)
        if part == 1:
            self.done += self.now
            self.now = 0.0
            self.running = ""
        elif part == 0 or time.monotonic() - self.shown >= SHOW_SECONDS:
            self.shown = time.monotonic()
            print(f"  {name:<16} {part:4.0%}   about {figures.duration(self.left())} left",
                  flush=True)

    def left(self) -> float:
        """Seconds, by the pace so far; early on, by the usual one."""
        elapsed, done = time.monotonic() - self.begun, self.done + self.now
        return (self.total - done) * (elapsed + TRUST_SECONDS) / (done + TRUST_SECONDS)


def guest_seconds(names: list[str]) -> float:
    return BOOT_SECONDS + sum(map(keys.seconds, names))


def lost(outcome: boot.Outcome, running: str) -> str:
    """Why a guest left no samples. The program writes them when it has taken all of them."""
    if outcome.timed_out:
        how = "the guest was stopped at its time limit"
    elif outcome.exit_status is None:
        how = "the guest died"
    else:
        how = f"the program ended with status {outcome.exit_status}"
    return f"no samples: {how}{f' in {running}' if running else ''}, see {outcome.log}"


def read_samples(file: Path) -> dict | None:
    """What the program wrote; None if it did not, or not to the end."""
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return None


def ground_text(machine: qemu.Machine) -> str:
    how = "instructions (icount)" if machine.icount else f"wall clock ({machine.accel})"
    return f"{how}, {machine.cpus} vCPU, Linux {machine.kernel.release}"


def host_programs(names: list[str]) -> dict[str, Path]:
    found = {}
    for name in {need for key in names if key in keys.KEYS for need in keys.KEYS[key].needs}:
        path = shutil.which(name)
        if path is None:
            raise HarnessError(f"{name} is not installed: run `./run setup`")
        found[name] = Path(path)
    return found


def measure(kernel: kernels.Kernel, ground: keys.Ground, program: str, names: list[str],
            quick: bool, progress: Progress) -> report.Samples:
    """One guest. What fails in it is in the result."""
    machine = qemu.Machine(kernel, ground.cpus, ground.memory, ground.icount,
                           "tcg" if ground.icount else accel.choose(kernel, "auto"))
    text = ground_text(machine)
    print(f"{text}: {', '.join(names)}", flush=True)
    if not ground.icount and os.getloadavg()[0] > 0.5:
        print(f"  this machine is busy (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs): "
              "expect a wide spread", flush=True)
    words = [program, *(["--quick"] if quick else []), "--json", "/out/samples.json", *names]
    payload = initramfs.Payload(" ".join(words), host_programs(names), module=kmod.build(kernel))
    progress.next_guest(names)
    with tempfile.TemporaryDirectory() as folder:
        outcome = boot.boot(boot.Run(f"bench-{names[0]}", machine, payload, LIMIT_SECONDS,
                                     Path(folder), show=progress.line))
        read = read_samples(Path(folder) / "samples.json")
    why = lost(outcome, progress.running)
    progress.guest_over()
    read = read or {"results": {}, "errors": {}}
    results = {name: read["results"][name] for name in names if name in read["results"]}
    errors = {name: read["errors"].get(name, why) for name in names if name not in results}
    return report.Samples(text, results, errors, outcome.problems)


def parse(arguments: list[str]) -> argparse.Namespace:
    listed = "\n".join(f"  {key.name:<16} {key.what}" for key in keys.KEYS.values())
    parser = argparse.ArgumentParser(
        prog="./run bench kernel", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"keys (default: all but the last):\n{listed}\n"
               f"  {keys.TABLE:<16} instructions of some calls, by each way and batch size\n\n"
               "The status is 0 if everything could be measured, whatever the figures are.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--kernel", default="6.1", metavar="K",
                        help="of the guest: 6.1 (default), 6.12, an image or a build tree")
    parser.add_argument("--quick", action="store_true",
                        help="a few samples only: whether it works, not how well")
    parser.add_argument("keys", nargs="*", metavar="KEY", help="what to measure")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.keys if name not in (*keys.KEYS, keys.TABLE)]
    if unknown:
        parser.error(f"there is no key {', '.join(unknown)}; --help lists them")
    options.keys = list(dict.fromkeys(options.keys)) or list(keys.KEYS)
    return options


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    chosen = kernels.select(options.kernel)
    if len(chosen) != 1:
        raise HarnessError("figures of several kernels do not go into one table: give one --kernel")
    boots = keys.by_ground(options.keys)
    progress = Progress(boots)
    print(f"{len(options.keys)} to measure in {len(boots)} guests, about "
          f"{figures.duration(progress.total)}", flush=True)
    samples = [measure(chosen[0], ground, program, names, options.quick, progress)
               for (ground, program), names in boots.items()]
    found = report.figures(samples)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    print(report.text(samples))
    return 1 if any(each.errors or each.problems for each in samples) else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HarnessError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
