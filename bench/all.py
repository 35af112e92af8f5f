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
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests/harness")]

# pylint: disable=wrong-import-position
import page  # noqa: E402
from paths import BUILD, ROOT, HarnessError  # noqa: E402

# What is measured, and what is not measured unless it is named.
SUBJECTS = {"kernel": ("table", "copy_sizes", "sizes", "sizes_other"), "runtime": (),
            "server": ("connections", "file_sizes")}
# What a quick run leaves out, since it takes long even once.
LONG = ("copy_sizes", "connections", "file_sizes")
# Usual minutes, for the estimate: of a full and of a quick run.
MINUTES = {"kernel": (10, 2), "runtime": (6, 2), "server": (60, 6)}


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


def keys_of(subject: str, extras: tuple[str, ...]) -> list[str]:
    """All keys, if extras are wanted too: the runner takes all only if none is named."""
    if not extras:
        return []
    code = "import keys; print(*keys.BOOK.keys)"
    listed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True,
                            env={**os.environ, "PYTHONPATH": f"{HERE / subject}:{HERE}"})
    return [*listed.stdout.split(), *extras]


def measure(subject: str, quick: bool, folder: Path) -> tuple[dict, int]:
    file = folder / f"{subject}.json"
    wanted = tuple(name for name in SUBJECTS[subject] if not (quick and name in LONG))
    if wanted != SUBJECTS[subject]:
        print(f"  left out of a quick run: {', '.join(name for name in SUBJECTS[subject] if name not in wanted)}")
    command = [sys.executable, str(HERE / subject / "run.py"), *(["--quick"] if quick else []),
               *(["--details"] if subject != "runtime" else []), "--json", str(file),
               *keys_of(subject, wanted)]
    status = subprocess.run(command, check=False).returncode
    return (json.loads(file.read_text()) if file.exists() else {}), status


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./run bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="One subject alone, or some of its keys:  ./run bench kernel|runtime|server [KEY...]\n"
               "A report of results that are there:      ./run bench report RESULTS.json [FOLDER]\n"
               "What has changed between two results:    ./run bench compare OLD.json NEW.json\n\n"
               "The status is 0 if everything could be measured, whatever the figures are.")
    parser.add_argument("--quick", action="store_true",
                        help="a few samples only: whether it works, not how well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE too")
    parser.add_argument("--out", type=Path, metavar="FOLDER", default=BUILD / "bench-results",
                        help="for results.json, report.html and the plots (default: %(default)s)")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    found: dict = {"made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
                   "command": " ".join(["./run bench", *arguments]), "quick": options.quick,
                   "machine": machine(), "results": {}}
    failed = []
    left = [MINUTES[subject][options.quick] for subject in SUBJECTS]
    with tempfile.TemporaryDirectory() as folder:
        for subject in SUBJECTS:
            print(f"\n== {subject}: about {sum(left)} min left for all that is to be measured",
                  flush=True)
            begun = time.monotonic()
            found["results"][subject], status = measure(subject, options.quick, Path(folder))
            left.pop(0)
            print(f"== {subject}: {(time.monotonic() - begun) / 60:.1f} min", flush=True)
            if status:
                failed.append(subject)
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=2) + "\n"
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
