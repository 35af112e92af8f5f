# SPDX-License-Identifier: MIT
"""
`./run debug-kernel [kasan|kcsan ...]`: kernels that watch what the module does, built from Debian's
source with the fragments of tests/debug-kernel/. It takes some ten minutes each and half a gigabyte,
so they are kept outside of the repository and used again until their fragments or the source change.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import kernels
import kmod
from paths import ROOT, HarnessError

FRAGMENTS = ROOT / "tests/debug-kernel"
VARIANTS = ("kasan", "kcsan")
SOURCE = Path("/usr/src/linux-source-6.1.tar.xz")
# Where they are kept; FLEXSC_DEBUG_KERNELS moves it.
HOME = Path(os.environ.get("FLEXSC_DEBUG_KERNELS") or
            Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flexsc/debug-kernels")
STAMP = "flexsc-stamp"
SETTING = re.compile(r"^(CONFIG_\w+)=(.*)$", re.MULTILINE)


def fragments(variant: str) -> list[Path]:
    return [FRAGMENTS / "common.config", FRAGMENTS / f"{variant}.config"]


def fingerprint(variant: str) -> str:
    """What a build depends on; the source by its size, as Debian's are never replaced in place."""
    digest = hashlib.sha256()
    for path in fragments(variant):
        digest.update(path.read_bytes())
    digest.update(str(SOURCE.stat().st_size if SOURCE.exists() else 0).encode())
    return digest.hexdigest()


def is_current(variant: str) -> bool:
    stamp = HOME / variant / STAMP
    return stamp.exists() and stamp.read_text() == fingerprint(variant)


def find(variant: str) -> kernels.Kernel:
    """The kernel, if it is built."""
    if not (HOME / variant / STAMP).exists():
        raise HarnessError(f"there is no {variant} kernel yet: `./run debug-kernel {variant}` builds "
                           "it, in some ten minutes")
    if not is_current(variant):
        raise HarnessError(f"the {variant} kernel is older than tests/debug-kernel/: "
                           f"`./run debug-kernel {variant}` builds it again")
    return kernels.from_path(HOME / variant)


def run(log: Path, *command: str) -> None:
    with open(log, "ab") as out:
        result = subprocess.run(["nice", "-n19", *command], stdin=subprocess.DEVNULL, stdout=out,
                                stderr=subprocess.STDOUT, check=False)
    if result.returncode:
        print("\n".join(log.read_text(errors="replace").splitlines()[-30:]))
        raise HarnessError(f"{command[0]} failed; all of its messages are in {log}")


def unpack() -> Path:
    if not SOURCE.exists():
        raise HarnessError(f"{SOURCE} is missing: run `./run setup`")
    tree = HOME / f"source-{SOURCE.stat().st_size}"
    if not tree.exists():
        print(f"unpacking {SOURCE}", flush=True)
        partial = HOME / "unpacking"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        subprocess.run(["tar", "-C", str(partial), "--strip-components=1", "-xJf", str(SOURCE)],
                       check=True)
        partial.rename(tree)
    return tree


def lost_settings(variant: str, config: str) -> list[str]:
    """What a fragment asks for and the configuration has not: a dependency is missing."""
    have = dict(SETTING.findall(config))
    wanted: dict[str, str] = {}
    for path in fragments(variant):
        wanted |= dict(SETTING.findall(path.read_text()))
    return [f"{name}={value}" for name, value in wanted.items() if have.get(name, "n") != value]


def configure(variant: str, source: Path, tree: Path, log: Path) -> None:
    make = ("make", "-C", str(source), f"O={tree}")
    run(log, *make, "tinyconfig")
    run(log, str(source / "scripts/kconfig/merge_config.sh"), "-m", "-O", str(tree),
        str(tree / ".config"), *map(str, fragments(variant)))
    run(log, *make, "olddefconfig")
    lost = lost_settings(variant, (tree / ".config").read_text())
    if lost:
        raise HarnessError(f"the {variant} kernel cannot have {', '.join(lost)}")


def build(variant: str) -> Path:
    """Returns the build tree."""
    tree = HOME / variant
    with kmod.locked(HOME / f"{variant}.lock"):
        if is_current(variant):
            return tree
        begun = time.monotonic()
        with kmod.locked(HOME / "source.lock"):
            source = unpack()
        log = HOME / f"{variant}.log"
        log.unlink(missing_ok=True)
        tree.mkdir(parents=True, exist_ok=True)
        (tree / STAMP).unlink(missing_ok=True)
        print(f"building the {variant} kernel; messages are in {log}", flush=True)
        configure(variant, source, tree, log)
        make = ("make", "-C", str(source), f"O={tree}", f"-j{os.cpu_count() or 1}")
        run(log, *make, "bzImage")
        run(log, *make, "modules_prepare")
        # Modules that are built against the tree look their symbols up here.
        shutil.copy(tree / "vmlinux.symvers", tree / "Module.symvers")
        (tree / STAMP).write_text(fingerprint(variant))
        print(f"built the {variant} kernel in {time.monotonic() - begun:.0f} s", flush=True)
    return tree


def main(arguments: list[str]) -> int:
    for variant in arguments or VARIANTS:
        if variant not in VARIANTS:
            raise HarnessError(f"./run debug-kernel [{'|'.join(VARIANTS)}]; there is no {variant}")
        print(f"{variant}: {build(variant)}", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HarnessError as error:
        sys.exit(f"error: {error}")
