# SPDX-License-Identifier: MIT
"""What can be measured in guests, or on this machine: in what guest, by which program."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import figures


@dataclass(frozen=True)
class Ground:
    """A kind of guest. Keys of one ground and program are measured in one boot."""

    cpus: int
    memory: int = 1024  # MiB
    icount: bool = False
    # Each side of each pair has a guest of its own, in which the emulator counts for each CPU:
    # "instructions", those and the misses of modelled "caches", or those of each of the "functions".
    counts: str = ""
    # No guest: this machine, without the module; it must have so many CPUs.
    native: bool = False

    @property
    def exact(self) -> bool:
        """Whether what else runs here changes nothing: one CPU's instructions are counted."""
        return self.icount


NATIVE = Ground(2, native=True)
COUNTING = Ground(1, icount=True)


@dataclass(frozen=True)
class Key(figures.Key):
    """Its ground is a Ground."""

    program: str = ""  # if it is not the book's
    needs: tuple[str, ...] = ()  # further programs of this machine
    # Of a ground that counts: one side's sample, from its answer and what was counted.
    counted: Callable[[dict, list[dict]], float] | None = None


@dataclass(frozen=True)
class Extra:
    """Not a figure, for those who work on what is measured."""

    name: str
    what: str
    ground: Ground
    seconds: float
    entry: Callable[[dict], dict]  # of the file of --json, from the samples
    lines: Callable[[dict], list[str]]  # for people
    program: str = ""
    needs: tuple[str, ...] = ()
    # Of a ground that counts: the samples, from the answer of each guest and what was counted between its marks.
    # Of "functions" that is a dict of addresses.
    modelled: Callable[[list[tuple[dict, list]]], dict] | None = None
    # The samples, from what the processor of a real machine counted.
    in_hardware: Callable[[dict], dict] | None = None


@dataclass(frozen=True)
class Boot:
    """A guest, or where there is none a run of a program, and what is measured in it."""

    ground: Ground
    program: str
    names: tuple[str, ...]


class Book:
    """All keys of one subject, and who takes their samples; extras are measured if they are named."""

    def __init__(self, subject: str, program: str, keys: Iterable[Key],
                 extras: Iterable[Extra] = ()) -> None:
        self.subject = subject
        self.program = program
        self.keys = {key.name: key for key in keys}
        self.extras = {extra.name: extra for extra in extras}

    def __getitem__(self, name: str) -> Key | Extra:
        return self.keys[name] if name in self.keys else self.extras[name]

    def __contains__(self, name: str) -> bool:
        return name in self.keys or name in self.extras

    def seconds(self, name: str) -> float:
        return self[name].seconds

    def boots(self, names: Iterable[str]) -> list[Boot]:
        """Keys of one ground and program share a guest, unless each of their samples needs one."""
        shared: dict[tuple[Ground, str, str], list[str]] = {}
        for name in names:
            ground, program = self[name].ground, self[name].program or self.program
            shared.setdefault((ground, program, name if ground.counts else ""), []).append(name)
        return [Boot(ground, program, tuple(found)) for (ground, program, _), found in shared.items()]

    def lanes(self, names: Iterable[str], count: int) -> list[list[Boot]]:
        """
        The boots, for as many guests side by side as this machine has CPUs: exact ones, the longest keys dealt out
        first. All others are a last lane, for when those are over.
        """
        names = list(names)
        exact = [name for name in names if self[name].ground.exact]
        dealt: list[list[str]] = [[] for _ in range(count)]
        for name in sorted(exact, key=self.seconds, reverse=True):
            min(dealt, key=lambda lane: sum(map(self.seconds, lane))).append(name)
        rest = [name for name in names if name not in exact]
        return [self.boots(sorted(lane, key=names.index)) for lane in (*dealt, rest)]
