# SPDX-License-Identifier: MIT
"""`./run lint`: the checks that need no test to run. Each check counts as one test."""

import ast
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import counts
import lint_analyzer
import lint_coccinelle
import lint_cpp
import lint_kmod
from paths import HARNESS, ROOT, HarnessError

# Files without room for a comment, or that are licences themselves.
NO_SPDX_NAMES = {"LICENSE", "COPYING", ".gitignore", ".clang-format", ".clang-tidy",
                 ".checkpatch.conf"}
# Inputs for the fuzzers: any bytes.
NO_SPDX_FOLDER = ROOT / "tests/fuzz/corpus"
NO_SPDX_SUFFIXES = {".md", ".json", ".png", ".svg", ".csv", ".html", ".txt"}


def our_files() -> list[Path]:
    """Everything git knows or would add."""
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others",
                             "--exclude-standard"], capture_output=True, text=True, check=True)
    return [ROOT / name for name in sorted(set(listed.stdout.split("\0"))) if name
            and (ROOT / name).is_file()]


def first_line(path: Path) -> str:
    with open(path, "rb") as file:
        return file.readline(200).decode(errors="replace")


def spdx(files: list[Path]) -> list[str]:
    problems = []
    for path in files:
        if path.name == "CMakeLists.txt" or not (path.name in NO_SPDX_NAMES
                                                 or path.suffix in NO_SPDX_SUFFIXES
                                                 or path.is_relative_to(NO_SPDX_FOLDER)):
            with open(path, "rb") as file:
                if b"SPDX-License-Identifier: " not in file.read(400):
                    problems.append(f"{path.relative_to(ROOT)}: no SPDX-License-Identifier line")
    return problems


def is_shell(path: Path) -> bool:
    line = first_line(path)
    return line.startswith("#!") and line.split()[-1].rsplit("/", 1)[-1] in ("sh", "bash")


def shell(files: list[Path]) -> list[str]:
    problems = []
    for path in filter(is_shell, files):
        # shellcheck does not know busybox by name; its shell is a dash with a few words more.
        dialect = ["--shell=dash"] if "busybox" in first_line(path) else []
        result = lint_cpp.tool("shellcheck", *dialect, "--external-sources", str(path))
        problems += result.stdout.splitlines() if result.returncode else []
    return problems


def python(files: list[Path]) -> list[str]:
    problems = []
    for path in files:
        if path.suffix == ".py":
            try:
                ast.parse(path.read_text(), str(path))
            except SyntaxError as error:
                problems.append(f"{path.relative_to(ROOT)}:{error.lineno}: {error.msg}")
    return problems


def packages(_files: list[Path]) -> list[str]:
    """The README gives a reason for each package that setup installs."""
    listed = (HARNESS / "packages").read_text().splitlines()
    readme = (ROOT / "README.md").read_text()
    return [f"README.md does not name the package {name}" for name in listed
            if name and not name.startswith("#") and f"`{name}`" not in readme]


CHECKS: dict[str, Callable[[list[Path]], list[str]]] = {
    "SPDX lines": spdx,
    "shell scripts": shell,
    "Python syntax": python,
    "packages explained": packages,
    "clang-format": lint_cpp.clang_format,
    "public headers stand alone": lint_cpp.headers,
    "clang-tidy": lint_cpp.clang_tidy,
    "kmod: checkpatch": lint_kmod.checkpatch,
    "kmod: gcc W=1 and sparse": lint_kmod.compilers,
    "kmod: coccinelle": lint_coccinelle.semantic_patches,
    "kmod: clang's analyser": lint_analyzer.analyzer,
}


def run(pattern: str = "") -> counts.Counts:
    total = counts.Counts()
    files = our_files()
    for name, check in CHECKS.items():
        if pattern not in name:
            continue
        begun = time.monotonic()
        try:
            problems = check(files)
        except HarnessError as error:
            problems = [str(error)]
        for problem in problems:
            print(problem)
        if problems:
            total.fail(f"lint: {name}")
        else:
            total.passed += 1
        verdict = "FAILED" if problems else "ok"
        print(f"{name}: {verdict} ({time.monotonic() - begun:.1f} s)", flush=True)
    return total


if __name__ == "__main__":
    result = run(sys.argv[1] if len(sys.argv) > 1 else "")
    print(result.line())
    sys.exit(1 if result.failed else 0)
