# SPDX-License-Identifier: MIT
"""Which kernels there are to boot, and what a module for each is built against."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from paths import BUILD, HarnessError

SERIES = ("6.1", "6.12")

MODULES = Path("/lib/modules")
# setup.sh puts images here that are not in /boot.
IMAGE_DIRS = (Path("/boot"), BUILD / "kernels")


@dataclass(frozen=True)
class Kernel:
    release: str
    image: Path
    tree: Path  # the argument of make -C


def version_key(release: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", release))


def releases_with_headers(series: str, modules: Path = MODULES) -> list[str]:
    """Releases of a series that modules can be built for, newest first."""
    pattern = re.compile(re.escape(series) + r"\.\d.*-amd64$")
    found = [entry.parent.name for entry in modules.glob("*/build")
             if pattern.match(entry.parent.name) and "-rt-" not in entry.parent.name
             and "-cloud-" not in entry.parent.name and (entry / "Makefile").exists()]
    return sorted(found, key=version_key, reverse=True)


def find_image(release: str) -> Path | None:
    for folder in IMAGE_DIRS:
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
    releases = releases_with_headers(series)
    if not releases:
        raise HarnessError(f"no headers of a Linux {series} kernel are installed: run `./run setup`")
    for release in releases:
        image = find_image(release)
        if image:
            return Kernel(release, readable(image), MODULES / release / "build")
    raise HarnessError(f"headers of Linux {releases[0]} are installed but not its image "
                       f"(vmlinuz-{releases[0]}): run `./run setup`")


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
    tree = MODULES / release / "build"
    if not tree.exists():
        raise HarnessError(f"no headers for {path} in {tree}: install linux-headers-{release}, or "
                           "give the kernel's build tree instead of its image")
    return Kernel(release, readable(path), tree)


def select(spec: str) -> list[Kernel]:
    """`all`, a series such as 6.1, or a path."""
    if spec == "all":
        return [find(series) for series in SERIES]
    if spec in SERIES:
        return [find(spec)]
    path = Path(spec)
    if path.exists():
        return [from_path(path.resolve())]
    raise HarnessError(f"--kernel {spec}: neither one of {', '.join(SERIES)}, nor `all`, nor a "
                       "path that exists")
