# SPDX-License-Identifier: MIT
"""Checks of the C++ sources."""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import build
from paths import BUILD, ROOT, HarnessError

T = TypeVar("T")

CPP_SUFFIXES = {".cpp", ".hpp"}
# What clang-tidy reads; the macros of GoogleTest are not to its taste.
TIDY_FOLDERS = ("libflexsc", "scheduler", "demo-server", "bench")
WARNINGS = ["-Wall", "-Wextra", "-Werror"]


def tool(name: str, *arguments: str, text: str | None = None,
         cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    if shutil.which(name) is None:
        raise HarnessError(f"{name} is not installed: run `./run setup`")
    return subprocess.run([name, *arguments], input=text, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, cwd=cwd)


def for_each(check: Callable[[T], list[str]], things: Iterable[T]) -> list[str]:
    """What a check says of each thing, as many at a time as there are CPUs."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [problem for problems in pool.map(check, things) for problem in problems]


def clang_format(files: list[Path]) -> list[str]:
    sources = [str(path) for path in files if path.suffix in CPP_SUFFIXES]
    if not sources:
        return []
    result = tool("clang-format", "--dry-run", "-Werror", *sources)
    problems = [line for line in result.stdout.splitlines() if "error:" in line]
    if problems:
        problems.append("mend with: clang-format -i FILE...")
    return problems or (result.stdout.splitlines() if result.returncode else [])


def headers(files: list[Path]) -> list[str]:
    """Each public header compiles with nothing before it; the kernel's also as C."""
    include = ROOT / "include"

    def one(path: Path) -> list[str]:
        problems = []
        source = f"#include <{path.relative_to(include)}>\n"
        languages = [("g++", "c++", "c++20")]
        if path.suffix == ".h":
            languages.append(("gcc", "c", "c11"))
        for compiler, language, standard in languages:
            result = tool(compiler, "-x", language, f"-std={standard}", *WARNINGS,
                          "-fsyntax-only", f"-I{include}", "-", text=source)
            if result.returncode:
                problems += [f"{path.relative_to(ROOT)} does not stand alone as {language}:",
                             result.stdout]
        return problems

    return for_each(one, (path for path in files if path.is_relative_to(include)))


def configured() -> list[dict[str, str]]:
    """
    Compile commands that are never run. Where sources of a library can be read in one go they are,
    since most of what a file costs are the standard library's headers.
    """
    dest = BUILD / "lint/units"
    build.run(["cmake", "-S", str(ROOT), "-B", str(dest), "-G", "Ninja", "--log-level=WARNING",
               "-DCMAKE_UNITY_BUILD=ON", "-DFLEXSC_TESTS=OFF"],
              f"cmake could not configure {dest}: its message is above")
    folders = tuple(f"{top / folder}/" for folder in TIDY_FOLDERS for top in (ROOT, dest))
    units = {unit["file"]: unit for unit in json.loads((dest / "compile_commands.json").read_text())
             if unit["file"].startswith(folders) and unit["file"].endswith((".cpp", ".cxx"))}
    return [units[name] for name in sorted(units)]


def unit_key(unit: dict[str, str]) -> str | None:
    """Equal keys mean equal verdicts: everything the checker sees, comments (NOLINT) included."""
    words = shlex.split(unit["command"])
    kept = [word for word in words[1:] if word != "-c" and word != unit["file"]]
    if "-o" in kept:
        at = kept.index("-o")
        del kept[at:at + 2]
    result = subprocess.run(["clang++", *kept, "-w", "-E", "-C", unit["file"]], capture_output=True,
                            cwd=unit["directory"], check=False)
    if result.returncode != 0:
        return None
    version = tool("clang-tidy", "--version").stdout
    settings = (ROOT / ".clang-tidy").read_bytes()
    return hashlib.sha256(repr((version, kept)).encode() + settings + result.stdout).hexdigest()


def diagnostics(text: str) -> list[str]:
    """One string for each diagnostic: its line and what explains it."""
    blocks = re.split(r"^(?=\S+:\d+:\d+: (?:error|warning): )", text, flags=re.MULTILINE)
    return [block.rstrip() for block in blocks if re.match(r"\S+:\d+:\d+: ", block)]


def tidy_unit(unit: dict[str, str]) -> list[str]:
    """Remembers units that were clean, so that only changed ones are read again."""
    key = unit_key(unit)
    stamp = BUILD / "lint/tidy" / (key or "none")
    if key and stamp.exists():
        return []
    # What includes sources only: the analyser takes those for headers, and skips headers.
    together = ["--extra-arg=-Xclang", "--extra-arg=-analyzer-opt-analyze-headers"]
    result = tool("clang-tidy", "-p", str(BUILD / "lint/units"), "--quiet",
                  *(together if unit["file"].endswith(".cxx") else ()), unit["file"])
    if result.returncode:
        return diagnostics(result.stdout) or [result.stdout]
    if key:
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()
    return []


def clang_tidy(_files: list[Path]) -> list[str]:
    return list(dict.fromkeys(for_each(tidy_unit, configured())))  # a header's defects show up in every unit
