# SPDX-License-Identifier: MIT
"""Programs on their way into the guest: the libraries they need, and copies without debug data."""

import hashlib
import os
import re
import subprocess
from pathlib import Path

from paths import HarnessError, published


def is_elf(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parse_ldd(text: str) -> tuple[list[str], list[str]]:
    """The paths of the libraries ldd found, and the names of those it did not find."""
    found: list[str] = []
    missing: list[str] = []
    for line in text.splitlines():
        if "=> not found" in line:
            missing.append(line.split()[0])
        elif match := re.match(r"\s*(?:\S+ => )?(/\S+) \(0x", line):
            found.append(match[1])
    return found, missing


def libraries(program: Path) -> list[str]:
    """Everything the dynamic loader maps for a program, the loader itself included."""
    result = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        if re.search("not a dynamic executable|statically linked", result.stdout + result.stderr):
            return []
        raise HarnessError(f"ldd {program} failed: {result.stderr.strip()}")
    found, missing = parse_ldd(result.stdout)
    if missing:
        raise HarnessError(f"{program} needs {', '.join(missing)}, not found on this machine: "
                           "build again with `./run build`")
    return found


def stripped(path: Path, cache: Path) -> Path:
    """A copy without debug data, made once for each content."""
    target = cache / f"{digest(path)}.elf"
    if target.exists():
        os.utime(target)
        return target
    with published(target) as partial:
        result = subprocess.run(["strip", "--strip-debug", "-o", str(partial), str(path)],
                                capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise HarnessError(f"strip {path} failed: {result.stderr.strip()}")
    return target
