# SPDX-License-Identifier: MIT
"""Configures and builds the programs, plain or under sanitizers."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from paths import BUILD, ROOT, HarnessError

SANITIZERS = {"plain": "", "asan": "address,undefined", "tsan": "thread", "fuzz": ""}
# libFuzzer is clang's; targets name the sanitizers themselves.
# Whoever builds for a sanitizer builds everything: sources in one go take half the time for that.
OPTIONS = {"asan": ("-DCMAKE_UNITY_BUILD=ON",), "tsan": ("-DCMAKE_UNITY_BUILD=ON",),
           "fuzz": ("-DCMAKE_C_COMPILER=clang", "-DCMAKE_CXX_COMPILER=clang++", "-DFLEXSC_FUZZ=ON")}


def folder(variant: str) -> Path:
    return BUILD if variant == "plain" else BUILD / variant


def run(command: list[str], failure: str) -> None:
    if shutil.which(command[0]) is None:
        raise HarnessError(f"{command[0]} is not installed: run `./run setup`")
    sys.stdout.flush()
    if subprocess.run(command, check=False).returncode != 0:
        raise HarnessError(failure)


def configure(variant: str) -> Path:
    dest = folder(variant)
    run(["cmake", "-S", str(ROOT), "-B", str(dest), "-G", "Ninja", "--log-level=WARNING",
         f"-DFLEXSC_SANITIZE={SANITIZERS[variant]}", *OPTIONS.get(variant, ())],
        f"cmake could not configure {dest}: its message is above (a missing package: "
        "`./run setup`; a stale cache: `./run clean`)")
    return dest


def build(variant: str, prefix: Sequence[str] = (), targets: Sequence[str] = ()) -> Path:
    """
    Everything, or these targets. The prefix is for what the build itself runs: test programs, to
    list their cases.
    """
    dest = configure(variant)
    run([*prefix, "ninja", "-C", str(dest), *targets],
        f"{' and '.join(targets) or f'the {variant} build'} failed: the compiler's messages are above")
    return dest


def target(name: str, variant: str = "plain") -> Path:
    """One program."""
    return build(variant, targets=(name,)) / "bin" / name


if __name__ == "__main__":
    try:
        build((sys.argv[1:] or ["plain"])[0], targets=sys.argv[2:])
    except HarnessError as error:
        sys.exit(f"error: {error}")
