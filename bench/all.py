#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures everything, one subject after the other, and writes a report."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests/harness")]

# pylint: disable=wrong-import-position
import bare_metal  # noqa: E402
import figures  # noqa: E402
import page  # noqa: E402
import report  # noqa: E402
from paths import BUILD, ROOT, HarnessError  # noqa: E402
from wording import in_time  # noqa: E402

# What is measured, and what is not measured unless it is named.
SUBJECTS = {"kernel": ("table", "copy_sizes", "sizes", "sizes_other", "writes60", "workers", "indirect"), "runtime": (),
            "server": ("connections", "file_sizes", "profile", "latency", "latency_native")}
# What a quick run leaves out, since it takes long even once.
LONG = ("copy_sizes", "connections", "file_sizes")
# Usual minutes, for the estimate: of a full and of a quick run.
MINUTES = {"kernel": (9, 2), "runtime": (6, 1), "server": (50, 6)}


def first(path: str, key: str) -> str:
    """The value of the first line `key : value` of a file of /proc."""
    for line in Path(path).read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return "unknown"


def setting(path: str) -> str:
    file = Path(path)
    return file.read_text().strip() if file.exists() else "unknown"


def commit() -> str:
    found = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"],
                           capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def machine() -> dict[str, str]:
    """What somebody needs to know who wants to repeat it."""
    return {
        "processor": first("/proc/cpuinfo", "model name"),
        "CPUs": str(os.cpu_count()),
        "memory": first("/proc/meminfo", "MemTotal"),
        "kernel": os.uname().release,
        "governor": setting("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "mitigations": setting("/sys/devices/system/cpu/vulnerabilities/spectre_v2"),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "commit": commit(),
    }


def extras_of(subject: str, quick: bool) -> tuple[str, ...]:
    wanted = tuple(name for name in SUBJECTS[subject] if not (quick and name in LONG))
    if wanted != SUBJECTS[subject]:
        print(f"  left out of a quick run: {', '.join(name for name in SUBJECTS[subject] if name not in wanted)}")
    return wanted


def keys_of(subject: str, extras: tuple[str, ...]) -> list[str]:
    """All keys, if extras are wanted too: the runner takes all only if none is named."""
    return [*page.keys_of(subject), *extras] if extras else []


def measure(subject: str, quick: bool, folder: Path, prefix: tuple[str, ...] = ()) -> tuple[dict, int]:
    file = folder / f"{subject}.json"
    command = [*prefix, sys.executable, str(HERE / subject / "run.py"), *(["--quick"] if quick else []),
               *(["--details"] if subject != "runtime" else []), "--json", str(file),
               *keys_of(subject, extras_of(subject, quick))]
    status = subprocess.run(command, check=False).returncode
    return (json.loads(file.read_text()) if file.exists() else {}), status


def measure_here(subject: str, site: bare_metal.Site, folder: Path) -> tuple[dict, int]:
    """On a real machine, whose module is loaded."""
    if subject == "runtime":  # it needs no module, and is measured so anyway
        found, status = measure(subject, site.quick, folder, site.pinned(len(site.cpus)))
        for figure in found.values():
            figure["ground"] = f"{bare_metal.BARE_METAL}, {figure['ground']}"
        return found, status
    book = page.book_of(subject)
    samples = site.measure(book, [*book.keys, *extras_of(subject, site.quick)])
    print(in_time(report.text(book, samples)))
    return bare_metal.entries(book, samples), int(any(each.errors or each.problems for each in samples))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./run bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="One subject alone, or some of its keys:  ./run bench kernel|runtime|server [KEY...]\n"
               "A report of results that are there:      ./run bench report RESULTS.json [FOLDER]\n"
               "What has changed between two results:    ./run bench compare OLD.json NEW.json\n"
               "What was measured, into docs/results:    ./run bench keep FILE.json...\n\n"
               "The status is 0 if everything could be measured, whatever the figures are.")
    parser.add_argument("--bare-metal", action="store_true",
                        help="in time on this machine instead of in guests: loads the module into its kernel, "
                             "after it has asked, see docs/bare-metal.md")
    parser.add_argument("--yes", action="store_true", help="with --bare-metal: load it without asking")
    parser.add_argument("--quick", action="store_true",
                        help="a few samples only: whether it works, not how well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE too")
    parser.add_argument("--out", type=Path, metavar="FOLDER", default=BUILD / "bench-results",
                        help="for results.json, report.html and the plots (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.yes and not options.bare_metal:
        parser.error("--yes is for --bare-metal")
    return options


def measure_all(take: Callable[[str, Path], tuple[dict, int]], quick: bool) -> tuple[dict, list[str]]:
    """The results by subject, and the subjects of which not everything could be measured."""
    results: dict = {}
    failed = []
    left = [MINUTES[subject][quick] for subject in SUBJECTS]
    with tempfile.TemporaryDirectory() as folder:
        for subject in SUBJECTS:
            print(f"\n== {subject}: about {sum(left)} min left for all that is to be measured",
                  flush=True)
            begun = time.monotonic()
            results[subject], status = take(subject, Path(folder))
            left.pop(0)
            print(f"== {subject}: {(time.monotonic() - begun) / 60:.1f} min", flush=True)
            if status:
                failed.append(subject)
    return results, failed


def on_bare_metal(found: dict, options: argparse.Namespace) -> list[str]:
    """Adds what was measured to what is found. @returns what could not be measured"""
    with bare_metal.site(options.quick, options.yes) as site:
        tainted = site.tainted()
        found["machine"].update(site.host.facts())
        found["results"], failed = measure_all(
            lambda subject, folder: measure_here(subject, site, folder), options.quick)
        found["left_out"] = site.left_out
    if site.tainted() & ~tainted & bare_metal.COMPLAINTS:
        failed.append("the kernel has complained meanwhile (dmesg)")
    return failed


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    found: dict = {"made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                   "command": " ".join(["./run bench", *arguments]), "quick": options.quick,
                   "machine": machine(), "results": {}}
    if options.bare_metal:
        failed = on_bare_metal(found, options)
    else:
        found["results"], failed = measure_all(
            lambda subject, folder: measure(subject, options.quick, folder), options.quick)
    options.out.mkdir(parents=True, exist_ok=True)
    text = figures.as_text(found)
    (options.out / "results.json").write_text(text)
    if options.json:
        options.json.write_text(text)
    print(f"\nThe report: {page.write(found, options.out)}")
    if failed:
        print(f"PROBLEM: not everything could be measured: {', '.join(failed)}, see above")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HarnessError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
