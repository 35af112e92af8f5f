# SPDX-License-Identifier: MIT
"""
clang's analyser on the module: it follows paths through a function and what that calls, which gcc's
warnings and sparse do not. Debian's kernels are built with gcc; the analyser only reads, so it gets
of each file's command what decides about reading, and nothing about the code that gcc makes of it.
"""

import re
import shlex
from pathlib import Path

import kernels
import kmod
from lint_cpp import for_each, tool
from paths import HarnessError

# Beside those that are on by default. (alpha.security.ArrayBoundV2 is not: it takes a struct for its
# first field where the code means the struct.)
CHECKERS = ("alpha.core.BoolAssignment", "alpha.core.CastSize", "alpha.core.IdenticalExpr",
            "alpha.core.PointerSub", "alpha.core.SizeofPtr", "alpha.core.StackAddressAsyncEscape",
            "alpha.core.TestAfterDivZero", "alpha.security.ReturnPtrRange", "alpha.unix.cstring",
            "optin.portability")
READING = ("-D", "-I", "-std=", "-nostdinc", "-m64", "-fshort-wchar", "-funsigned-char",
           "-fno-strict-aliasing", "-fno-delete-null-pointer-checks")
FOUND = re.compile(r":\d+:\d+: (warning|error|fatal error): ")


def reading_arguments(command: str) -> list[str]:
    """Of gcc's command line: macros, folders, what is included first, and the language."""
    words = iter(shlex.split(command))
    kept = []
    for word in words:
        if word == "-include":
            kept += [word, next(words)]
        elif word.startswith(READING) or word.endswith(".c"):
            kept.append(word)
    return kept


def commands(folder: Path) -> list[str]:
    """How kbuild compiled each source file of a module that was built there."""
    found = []
    for path in sorted(folder.glob("*.c")):
        record = folder / f".{path.stem}.o.cmd"
        if path.name.endswith(".mod.c"):
            continue
        if not record.exists():
            raise HarnessError(f"{record} is missing: {path.name} is not part of the module")
        # The compiler's command; what follows it in the same line works on the object.
        found.append(record.read_text().split("\n", 1)[0].split(" := ", 1)[1].split(";")[0])
    return found


def analyze(kernel: kernels.Kernel, folder: Path) -> list[str]:
    """What there is to say about the files of a module that was built for the kernel."""
    def one(command: str) -> list[str]:
        result = tool("clang", "--analyze", "--analyzer-output", "text", "-Wno-everything",
                      "-Xclang", f"-analyzer-checker={','.join(CHECKERS)}",
                      *reading_arguments(command), cwd=kernel.tree)
        lines = [line for line in result.stdout.splitlines() if FOUND.search(line)]
        # What is wrong with the kernel's headers is not ours to mend, unless nothing was read.
        found = [line for line in lines if str(folder) in line or ": warning: " not in line]
        if result.returncode and not found:
            found = [result.stdout]
        return found

    found = for_each(one, commands(folder))
    # What is wrong in a header is said for each file.
    return list(dict.fromkeys(line.replace(f"{folder}/", "kmod/") for line in found))


def analyzer(_files: list[Path]) -> list[str]:
    """For the newest kernel: what differs by kernel are a few lines, which gcc and sparse read for each."""
    series = kernels.SERIES[-1]
    try:
        kernel = kernels.find(series)
        return analyze(kernel, kmod.build(kernel).parent)
    except HarnessError as error:
        return [f"not analysed for Linux {series}: {error}"]
