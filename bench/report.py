# SPDX-License-Identifier: MIT
"""What the samples of guests say: as JSON, and as a table for people."""

from dataclasses import dataclass

from figures import Measured, details_of, entry, explanation, lines
from guests import Book


@dataclass
class Samples:
    """Of one guest."""

    ground: str
    results: dict[str, dict]  # by key, as the programs write them
    errors: dict[str, str]  # by key
    problems: list[str]  # of the guest itself


def in_order(book: Book, samples: list[Samples]) -> list[tuple[str, dict, str]]:
    """Name, result and ground of all that was measured, as the book has them, whichever guest was first."""
    found = {name: (name, result, each.ground) for each in samples for name, result in each.results.items()}
    return [found[name] for name in (*book.keys, *book.extras) if name in found]


def figures(book: Book, samples: list[Samples], detailed: bool = False) -> dict[str, dict]:
    """The content of the file of --json."""
    found: dict[str, dict] = {}
    for name, result, ground in in_order(book, samples):
        if name in book.extras:
            found[name] = {**book.extras[name].entry(result), "ground": ground}
        else:
            found[name] = entry(book.keys[name], result, ground)
            if detailed:
                found[name].update(details_of(result))
    return found


def measured(book: Book, samples: list[Samples]) -> list[Measured]:
    return [(book.keys[name], result) for name, result, _ in in_order(book, samples) if name in book.keys]


def text(book: Book, samples: list[Samples]) -> str:
    parts = [lines(measured(book, samples)),
             [explanation(key, result) for key, result in measured(book, samples)]]
    parts += [book.extras[name].lines(result) for name, result, _ in in_order(book, samples) if name in book.extras]
    troubles = [f"FAILED: {name}: {error}" for each in samples
                for name, error in each.errors.items()]
    troubles += [f"PROBLEM: {problem}" for each in samples for problem in each.problems]
    parts.append(troubles)
    return "\n" + "\n\n".join("\n".join(part) for part in parts if part)
