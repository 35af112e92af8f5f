# SPDX-License-Identifier: MIT
"""Packs what the guest sees as its root directory."""

import contextlib
import hashlib
import os
import re
import shlex
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import cpio
import elf
from paths import BUILD, HARNESS, HarnessError, published

CACHE = BUILD / "guest/cache"
CACHE_SECONDS = 24 * 3600
BUSYBOX = Path("/bin/busybox")
GUEST_BIN = "/usr/local/bin"
GUEST_LIB = "/usr/local/lib"
# Beyond this, only the programs that the command names are packed.
MAX_PROGRAM_BYTES = 256 << 20

ETC = {
    "passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    "group": "root:x:0:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
}


@dataclass(frozen=True)
class Payload:
    """What one run adds to the common part."""

    command: str
    programs: dict[str, Path] = field(default_factory=dict)  # name in GUEST_BIN
    files: tuple[tuple[Path, str], ...] = ()
    module: Path | None = None
    settings: dict[str, str] = field(default_factory=dict)


def built_programs() -> dict[str, Path]:
    folder = BUILD / "bin"
    if not folder.is_dir():
        return {}
    return {path.name: path for path in sorted(folder.iterdir())
            if path.is_file() and os.access(path, os.X_OK) and elf.is_elf(path)}


def built_libraries() -> list[Path]:
    folder = BUILD / "lib"
    return sorted(path for path in folder.glob("*.so*") if path.is_file())


def file_entries(host: Path, guest: str) -> list[cpio.Entry]:
    """A host file or directory, with the libraries of the programs in it."""
    if not host.exists():
        raise HarnessError(f"{host} does not exist, so it cannot be put in the guest")
    if host.is_dir():
        return [entry for path in sorted(host.rglob("*")) if path.is_file()
                for entry in file_entries(path, f"{guest}/{path.relative_to(host)}")]
    mode = 0o755 if os.access(host, os.X_OK) else 0o644
    if not elf.is_elf(host):
        return [cpio.file(guest, host, mode)]
    entries = [cpio.file(guest, elf.stripped(host, CACHE), mode)]
    return entries + [cpio.file(path, elf.stripped(Path(path), CACHE), 0o755)
                      for path in elf.libraries(host)]


def size(entries: Iterable[cpio.Entry]) -> int:
    """Bytes of the files; a library that several programs need is packed once."""
    files = {entry.path: entry.content for entry in entries if isinstance(entry.content, Path)}
    return sum(path.stat().st_size for path in files.values())


def program_entries(programs: dict[str, Path]) -> list[cpio.Entry]:
    entries: list[cpio.Entry] = []
    for name, path in programs.items():
        entries += file_entries(path, f"{GUEST_BIN}/{name}")
    for path in built_libraries():
        entries += file_entries(path, f"{GUEST_LIB}/{path.name}")
    return entries


def base_entries() -> list[cpio.Entry]:
    if not BUSYBOX.exists():
        raise HarnessError(f"{BUSYBOX} is missing: run `./run setup`")
    folders = [cpio.directory(path) for path in
               ("/bin", "/dev", "/etc", "/out", "/proc", "/root", "/run", "/sys", GUEST_BIN)]
    return [*folders, cpio.directory("/tmp", 0o1777),
            cpio.file("/bin/busybox", BUSYBOX, 0o755),
            cpio.file("/init", HARNESS / "guest-init", 0o755),
            *(cpio.file(f"/etc/{name}", text.encode()) for name, text in ETC.items())]


def run_entries(payload: Payload) -> list[cpio.Entry]:
    settings = dict(payload.settings, module="1" if payload.module else "0")
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items())
    entries = [cpio.file("/etc/harness/settings", text.encode()),
               cpio.file("/etc/harness/command", payload.command.encode())]
    if payload.module:
        entries.append(cpio.file("/lib/flexsc.ko", payload.module))
    return entries


def content_key(entries: Iterable[cpio.Entry]) -> str:
    digest = hashlib.sha256()
    for entry in entries:
        content = elf.digest(entry.content) if isinstance(entry.content, Path) else entry.content
        digest.update(repr((entry.path, entry.mode, content)).encode())
    return digest.hexdigest()


def cached_archive(entries: list[cpio.Entry]) -> Path:
    target = CACHE / f"{content_key(entries)}.cpio"
    if target.exists():
        os.utime(target)
        return target
    with published(target) as partial, open(partial, "wb") as out:
        cpio.write(out, entries)
    return target


def drop_old_cache() -> None:
    for path in (*CACHE.glob("*.cpio"), *CACHE.glob("*.elf")):
        with contextlib.suppress(FileNotFoundError):  # another run drops it too
            if time.time() - path.stat().st_mtime > CACHE_SECONDS:
                path.unlink()


def pack(payload: Payload, target: Path) -> None:
    """
    Writes the initramfs: archives one after the other, which the kernel unpacks in that order. They
    are not compressed, because an emulated CPU takes longer to inflate them than to copy them.
    """
    programs = {**built_programs(), **payload.programs}
    entries = program_entries(programs)
    if size(entries) > MAX_PROGRAM_BYTES:
        words = set(re.findall(r"[\w.+-]+", payload.command))
        wanted = {name: path for name, path in programs.items()
                  if name in payload.programs or name in words}
        print(f"guest: the built programs do not fit; packing {', '.join(wanted) or 'none'} only",
              flush=True)
        entries = program_entries(wanted)
    entries += [entry for host, guest in payload.files for entry in file_entries(host, guest)]
    entries = list({entry.path: entry for entry in entries}.values())  # a library that several need: once
    drop_old_cache()
    with open(target, "wb") as out:
        for archive in (cached_archive(base_entries()), cached_archive(entries)):
            with open(archive, "rb") as source:
                shutil.copyfileobj(source, out)
        cpio.write(out, run_entries(payload))
