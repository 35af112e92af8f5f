# SPDX-License-Identifier: MIT
"""Which kernels there are to boot, and what a module for each is built against."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from paths import BUILD, HarnessError

SERIES = ("6.1", "6.12")

MODULES = Path("/lib/modules")
# setup.sh puts here what the machine does not have: vmlinuz-RELEASE and headers-RELEASE.
FETCHED = BUILD / "kernels"


@dataclass(frozen=True)
class Kernel:
    release: str
    image: Path
    tree: Path  # the argument of make -C

    @property
    def slow(self) -> bool:
        """One of debug_kernel.py: it checks every access to memory, and needs more of it."""
        return "-flexsc-" in self.release

    @property
    def memory(self) -> int:
        """MiB that a guest should have."""
        return 2048 if self.slow else 1024


def version_key(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", release))


def trees(modules: Path = MODULES, fetched: Path = FETCHED) -> dict[str, Path]:
    """What modules can be built against, by release; what is installed goes first."""
    found = {path.name.removeprefix("headers-"): path for path in fetched.glob("headers-*")}
    found |= {path.parent.name: path for path in modules.glob("*/build")}
    return {release: path for release, path in found.items() if (path / "Makefile").exists()}


def releases(series: str, known: Iterable[str]) -> list[str]:
    """Those of a series, newest first."""
    pattern = re.compile(re.escape(series) + r"\.\d(?!.*-(rt|cloud)-).*-amd64$")
    return sorted(filter(pattern.match, known), key=version_key, reverse=True)


def find_image(release: str) -> Path | None:
    for folder in (Path("/boot"), FETCHED):
        image = folder / f"vmlinuz-{release}"
        if image.exists():
            return image
    return None


def readable(image: Path) -> Path:
    if not os.access(image, os.R_OK):
        raise HarnessError(f"{image} cannot be read by this user: run as root, or "
                           f"`sudo chmod a+r {image}`")
    return image


def find(series: str) -> Kernel:
    known = trees()
    candidates = releases(series, known)
    for release in candidates:
        image = find_image(release)
        if image:
            return Kernel(release, readable(image), known[release])
    if not candidates:
        raise HarnessError(f"there are no headers of a Linux {series} kernel: run `./run setup`")
    raise HarnessError(f"there are headers of Linux {candidates[0]} but not its image "
                       f"(vmlinuz-{candidates[0]}): run `./run setup`")


def from_path(path: Path) -> Kernel:
    """A kernel's build tree, or an image vmlinuz-RELEASE whose headers are installed."""
    if path.is_dir():
        release_file = path / "include/config/kernel.release"
        image = path / "arch/x86/boot/bzImage"
        if not (release_file.exists() and image.exists()):
            raise HarnessError(f"{path} is not a built kernel tree: build its bzImage and run "
                               "`make modules_prepare` in it first")
        return Kernel(release_file.read_text().strip(), readable(image), path)
    release = path.name.removeprefix("vmlinuz-")
    tree = trees().get(release)
    if tree is None:
        raise HarnessError(f"no headers for {path}: install linux-headers-{release}, or give the "
                           "kernel's build tree instead of its image")
    return Kernel(release, readable(path), tree)


def select(spec: str) -> list[Kernel]:
    """`all`, a series such as 6.1, a debug kernel's name, or a path."""
    # It builds on this module.
    import debug_kernel  # pylint: disable=import-outside-toplevel
    if spec == "all":
        return [find(series) for series in SERIES]
    if spec in SERIES:
        return [find(spec)]
    if spec in debug_kernel.VARIANTS:
        return [debug_kernel.find(spec)]
    path = Path(spec)
    if path.exists():
        return [from_path(path.resolve())]
    raise HarnessError(f"--kernel {spec}: neither one of {', '.join((*SERIES, *debug_kernel.VARIANTS))}, "
                       "nor `all`, nor a path that exists")
