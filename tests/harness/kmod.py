# SPDX-License-Identifier: MIT
"""Builds kmod/ for a kernel, in a copy inside the build directory."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kernels
from paths import BUILD, ROOT, HarnessError

SOURCE = ROOT / "kmod"
SOURCE_SUFFIXES = (".c", ".h", ".S")
SOURCE_NAMES = ("Kbuild", "Makefile")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Two runs at once must not build in the same directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_source(path: Path) -> bool:
    return path.is_file() and not path.name.endswith(".mod.c") and (
        path.suffix in SOURCE_SUFFIXES or path.name in SOURCE_NAMES)


def mirror(source: Path, dest: Path) -> None:
    """Makes dest's sources those of source; equal files keep their time, and make its objects."""
    wanted = {path.relative_to(source) for path in source.rglob("*") if is_source(path)}
    if dest.exists():
        for path in list(dest.rglob("*")):
            if is_source(path) and path.relative_to(dest) not in wanted:
                path.unlink()
    for name in wanted:
        target = dest / name
        content = (source / name).read_bytes()
        if not target.exists() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def prepare(kernel: kernels.Kernel, base: Path, source: Path = SOURCE) -> Path:
    """Copies the module and the header it shares to base; returns the folder to build."""
    if not any((source / name).exists() for name in SOURCE_NAMES):
        raise HarnessError(f"{source} has no Kbuild or Makefile, so there is no module to build; "
                           "use --no-module to run without one")
    mirror(source, base / "kmod")
    mirror(ROOT / "include", base / "include")
    return base / "kmod"


def make(kernel: kernels.Kernel, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "-C", str(kernel.tree), f"M={folder}", f"-j{os.cpu_count() or 1}",
               *arguments, "modules"]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)


def build(kernel: kernels.Kernel, source: Path = SOURCE) -> Path:
    """Returns flexsc.ko for the kernel."""
    name = kernel.release if source == SOURCE else f"{kernel.release}-{source.name}"
    base = BUILD / "kmod" / name
    with locked(BUILD / "kmod" / f"{name}.lock"):
        folder = prepare(kernel, base, source)
        result = make(kernel, folder)
        module = folder / "flexsc.ko"
        if result.returncode != 0 or not module.exists():
            sys.stdout.write(result.stdout)
            raise HarnessError(f"the module does not build for {kernel.release}: the compiler's "
                               "messages are above")
        return module


def main() -> int:
    for kernel in kernels.select("all"):
        begun = time.monotonic()
        module = build(kernel)
        seconds = time.monotonic() - begun
        print(f"module for {kernel.release}: {module} ({seconds:.1f} s)", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except HarnessError as error:
        sys.exit(f"error: {error}")
