# SPDX-License-Identifier: MIT
"""The kernel's own checkers, out of Debian's package of its source."""

import shutil
import subprocess
from pathlib import Path

import kmod
from paths import BUILD, HarnessError

SOURCE = Path("/usr/src/linux-source-6.1.tar.xz")
WANTED = ("checkpatch.pl", "const_structs.checkpatch", "spelling.txt", "coccinelle")


def unpacked() -> Path:
    """Their folder; unpacked once."""
    folder = BUILD / "lint/linux-source-6.1/scripts"
    with kmod.locked(BUILD / "lint/scripts.lock"):
        if all((folder / name).exists() for name in WANTED):
            return folder
        if not SOURCE.exists():
            raise HarnessError(f"{SOURCE} is missing: run `./run setup`")
        print(f"unpacking the kernel's checkers from {SOURCE} (once)", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        names = [f"linux-source-6.1/scripts/{name}" for name in WANTED]
        subprocess.run(["tar", "-C", str(BUILD / "lint"), "-xJf", str(SOURCE), *names], check=True)
    return folder
