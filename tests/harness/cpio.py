# SPDX-License-Identifier: MIT
"""Writes cpio archives of the newc format, the one the kernel unpacks as an initramfs."""

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO


@dataclass(frozen=True)
class Entry:
    """A file (content: bytes, or a host file), a directory (None) or a symbolic link (target)."""

    path: str  # absolute in the guest
    mode: int
    content: bytes | Path | None = None


def file(path: str, content: bytes | Path, mode: int = 0o644) -> Entry:
    return Entry(path, stat.S_IFREG | mode, content)


def directory(path: str, mode: int = 0o755) -> Entry:
    return Entry(path, stat.S_IFDIR | mode)


def link(path: str, target: str) -> Entry:
    return Entry(path, stat.S_IFLNK | 0o777, target.encode())


def with_parents(entries: Iterable[Entry]) -> list[Entry]:
    """Adds the directories that the entries need, each before what is in it."""
    result: list[Entry] = []
    seen: set[str] = set()
    for entry in entries:
        for parent in reversed(PurePosixPath(entry.path).parents):
            if str(parent) not in seen and str(parent) != "/":
                seen.add(str(parent))
                result.append(directory(str(parent)))
        if entry.path not in seen:
            seen.add(entry.path)
            result.append(entry)
    return result


def _record(out: BinaryIO, name: str, ino: int, mode: int, data: bytes) -> None:
    encoded = name.encode() + b"\0"
    fields = (ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    out.write(head + b"\0" * (-len(head) % 4))
    out.write(data + b"\0" * (-len(data) % 4))


def write(out: BinaryIO, entries: Iterable[Entry]) -> None:
    """Writes one archive; its size is a multiple of 512, so that archives can be concatenated."""
    start = out.tell()
    for ino, entry in enumerate(with_parents(entries), 1):
        data = entry.content if entry.content is not None else b""
        if isinstance(data, Path):
            data = data.read_bytes()
        _record(out, entry.path.lstrip("/"), ino, entry.mode, data)
    _record(out, "TRAILER!!!", 0, 0, b"")
    out.write(b"\0" * (-(out.tell() - start) % 512))
