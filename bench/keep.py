#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
Puts what was measured into docs/results: each figure of the files replaces the one of its name there, with the
commit that it is of, and the table and the plots are made anew. A file is one of `./run bench --json`, or of one
subject or some of its keys. For figures of a machine that was idle, not for those of --quick.
"""

import argparse
import json
import re
import sys
from datetime import datetime, timezone
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests/harness")]

# pylint: disable=wrong-import-position
import all as bench_all  # noqa: E402
import figures  # noqa: E402
import page  # noqa: E402
import plots  # noqa: E402
from paths import ROOT, HarnessError  # noqa: E402

RESULTS = ROOT / "docs/results"
HEAD = "| key | value | limit | | samples | commit |\n| --- | --- | --- | --- | --- | --- |\n"
TABLE = re.compile(re.escape(HEAD) + r"(?:\|.*\n)*")


def names_of(subject: str) -> set[str]:
    """All that it can measure."""
    module = page.keys_module(subject)
    return {*module.BOOK.keys, *module.BOOK.extras} if hasattr(module, "BOOK") else set(module.KEYS)


def subjects_of(found: dict, source: Path) -> dict[str, dict]:
    """What a file has, by subject."""
    if "results" in found:
        if found["quick"]:
            raise HarnessError(f"{source} is of a quick run: its figures mean nothing")
        return found["results"]
    fitting = [subject for subject in page.TITLES if found.keys() <= names_of(subject)]
    if not fitting:
        raise HarnessError(f"{source} is no file of `./run bench`")
    if len(fitting) > 1:
        raise HarnessError(f"{source} has only keys of {' and of '.join(fitting)}: measure another one with them")
    return {fitting[0]: found}


def row(key: figures.Key, found: dict) -> str:
    figure = page.figure_of(found)
    value = figures.number(figure.value)
    if (spread := figures.spread(figure)) != value:
        value += f" ({spread})"
    limit = f"{'≥' if key.goal.more else '≤'} {figures.number(key.goal.must)}"
    return (f"| `{key.name}` | {value} | {limit} | {figures.judged(figure, key.goal)} | {figure.pairs} "
            f"| {found.get('commit', '')} |\n")


def table(results: dict[str, dict]) -> str:
    return HEAD + "".join(row(key, results[subject][name]) for subject in page.TITLES
                          for name, key in page.keys_of(subject).items() if name in results.get(subject, {}))


def keep(sources: list[Path], folder: Path, commit: str) -> list[str]:
    """@returns the names of what was replaced or is new"""
    kept = json.loads((folder / "results.json").read_text())
    names = []
    for source in sources:
        try:
            found = json.loads(source.read_text())
        except (OSError, ValueError) as error:
            raise HarnessError(f"{source} cannot be read: {error}") from error
        for subject, of in subjects_of(found, source).items():
            kept["results"].setdefault(subject, {}).update(
                {name: {**figure, "commit": commit} for name, figure in of.items()})
            names += [f"{subject} {name}" for name in of]
    kept["made"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
    text = (folder / "README.md").read_text()
    if not TABLE.search(text):
        raise HarnessError(f"{folder / 'README.md'} has no table that begins with {HEAD.splitlines()[0]}")
    (folder / "README.md").write_text(TABLE.sub(lambda _: table(kept["results"]), text, count=1))
    (folder / "results.json").write_text(figures.as_text(kept))
    for plot in plots.all_plots(kept["results"]):
        if (png := folder / f"{plot.name}.png").exists():  # which ones are shown is decided in the text
            plots.draw(plot, png)
    return names


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./run bench keep", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--commit", default=bench_all.commit(), help="which they are of (default: %(default)s)")
    options = parser.parse_args(arguments)
    print(f"kept: {', '.join(keep(options.files, RESULTS, options.commit))}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HarnessError as error:
        sys.exit(f"error: {error}")
