# SPDX-License-Identifier: MIT
"""How far a measurement is, and how long the rest takes, from what its guests say and what keys usually take."""

import threading
import time

import figures
from guests import Boot, Book

BOOT_SECONDS = 15
SHOW_SECONDS = 10  # between two lines of progress
TRUST_SECONDS = 30  # in the usual pace, until there is one of this run


class Guest:
    """One that runs: who watches it passes on what it says. Guests of one measurement may run side by side."""

    def __init__(self, progress: "Progress", boot: Boot) -> None:
        self.progress = progress
        self.boot = boot
        self.booting = True
        self.done = 0.0  # usual seconds of it: its boot, and keys that are over
        self.now = 0.0  # of the key that runs
        self.running = ""  # that key
        self.shown = 0.0

    def line(self, text: str) -> None:
        """A line of the guest: progress, or something to show."""
        words = text.split()
        if len(words) == 3 and words[0] == "progress":
            self.key(words[1], float(words[2]))
        elif not text.startswith("[kernel]"):  # its complaints are reported in the end
            print(text, flush=True)

    def key(self, name: str, part: float, where: str = "") -> None:
        """So much of a key is done. `where` stands for the percentage, and is always shown."""
        if self.booting:
            self.done += BOOT_SECONDS
            self.booting = False
        self.running = name
        self.now = part * self.progress.book.seconds(name)
        if part == 1:
            self.done += self.now
            self.now = 0.0
            self.running = ""
        elif where or part == 0 or time.monotonic() - self.shown >= SHOW_SECONDS:
            self.shown = time.monotonic()
            left = figures.duration(self.progress.left())
            print(f"  {name:<16} {where or f'{part:4.0%}'}   about {left} left", flush=True)

    def over(self) -> None:
        """However it ended: what it did not do will not be done."""
        self.progress.end(self)


class Progress:
    """Of all guests. Thread-safe. One of `lanes` guests side by side counts for so much less."""

    def __init__(self, book: Book, boots: list[Boot], lanes: int = 1) -> None:
        self.book = book
        self.lanes = lanes
        self.total = sum(map(self.seconds, boots))
        self.begun = time.monotonic()
        self._lock = threading.Lock()
        self._over = 0.0  # of total
        self._guests: list[Guest] = []  # that run

    def guest(self, boot: Boot) -> Guest:
        """One that begins now."""
        found = Guest(self, boot)
        with self._lock:
            self._guests.append(found)
        return found

    def end(self, guest: Guest) -> None:
        with self._lock:
            self._guests.remove(guest)
            self._over += self.seconds(guest.boot)

    def weight(self, boot: Boot) -> float:
        return 1 / self.lanes if boot.ground.exact else 1

    def seconds(self, boot: Boot) -> float:
        return self.weight(boot) * (BOOT_SECONDS + sum(map(self.book.seconds, boot.names)))

    def done(self) -> float:
        """Of total."""
        with self._lock:
            return self._over + sum(self.weight(each.boot) * (each.done + each.now) for each in self._guests)

    def left(self) -> float:
        """Seconds, by the pace so far; early on, by the usual one."""
        elapsed, done = time.monotonic() - self.begun, self.done()
        pace = (elapsed + TRUST_SECONDS) / (done + TRUST_SECONDS)
        return max(self.total - done, 0) * pace
