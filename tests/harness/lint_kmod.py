# SPDX-License-Identifier: MIT
"""Checks of the kernel module: the kernel's own style checker, more warnings, and sparse."""

import re
import shutil
from pathlib import Path

import kernel_scripts
import kernels
import kmod
from lint_cpp import tool
from paths import BUILD, ROOT, HarnessError

# The headers of tracepoints have a layout of their own, which checkpatch.pl does not know.
UNCHECKED = ("trace.h",)


def checkpatch(files: list[Path]) -> list[str]:
    """What is ignored, and why, stands in kmod/.checkpatch.conf."""
    script = kernel_scripts.unpacked() / "checkpatch.pl"
    sources = [str(path) for path in files if path.suffix in (".c", ".h")
               and path.name not in UNCHECKED and (path.is_relative_to(kmod.SOURCE) or path.name == "uapi.h")]
    # It reads its settings from where it runs, and leaves files of its own there.
    shutil.copy(kmod.SOURCE / ".checkpatch.conf", BUILD / "lint")
    result = tool("perl", str(script), "--terse", "--show-types", "--no-summary", "--file",
                  *sources, cwd=BUILD / "lint")
    return result.stdout.replace(f"{ROOT}/", "").splitlines() if result.returncode else []


def own_complaints(text: str, folder: Path) -> list[str]:
    """Warnings about our files; what sparse thinks of the kernel's headers is not ours to mend."""
    pattern = re.compile(r":\d+:\d+: +(warning|error):|(WARNING|ERROR): modpost:")
    return [line for line in text.splitlines()
            if pattern.search(line) and (str(folder) in line or not line.startswith("/"))]


def compilers(_files: list[Path]) -> list[str]:
    problems: list[str] = []
    for series in kernels.SERIES:
        try:
            kernel = kernels.find(series)
        except HarnessError as error:
            problems.append(f"not checked against Linux {series}: {error}")
            continue
        base = BUILD / "lint" / f"kmod-{kernel.release}"
        with kmod.locked(BUILD / "lint" / f"kmod-{kernel.release}.lock"):
            folder = kmod.prepare(kernel, base)
            # C=2: sparse reads every file, also those that need not be compiled again.
            result = kmod.make(kernel, folder, "W=1", "C=2", "KCFLAGS=-Werror")
        found = own_complaints(result.stdout, base)
        problems += [f"{kernel.release}: {line}" for line in found]
        if result.returncode and not found:
            problems += [f"{kernel.release}: the build failed:", result.stdout]
    return problems
