#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the report of results: one HTML page that needs nothing else, and its plots as PNG."""

import base64
import html
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests/harness")]

# pylint: disable=wrong-import-position
import figures  # noqa: E402
import instructions  # noqa: E402
import latency  # noqa: E402
import plots  # noqa: E402
from arithmetic import Figure  # noqa: E402
from guests import Book  # noqa: E402
from markup import table  # noqa: E402
from paths import HarnessError  # noqa: E402
from wording import is_bare_metal  # noqa: E402

TITLES = {"kernel": "The kernel service", "runtime": "Fibers", "server": "Servers"}
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #223; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; margin: 1rem 0; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ccd; vertical-align: top; }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.good { color: #067647; } .bad { color: #b42318; } .open { color: #667; }
img { max-width: 100%; } figcaption { color: #556; } figure { margin: 1.5rem 0; }
"""
UNDECIDED = "“Undecided”: the spread (quartiles of the pairs) lies on both sides of the limit."
REAL_CAVEATS = (
    "Everything was measured in time, on the machine itself: caches and the cost of a mode switch are in it. "
    "The figures are those of this processor, its mitigations and its clock.",
    "Client and server share the machine: each has CPUs of its own where there is more than one.",
    UNDECIDED,
)
CAVEATS = (
    "Guests are emulated. On the ground “instructions” a ratio is one of instructions executed by the "
    "whole machine: it sees neither caches nor the cost of a mode switch beyond its instructions, which "
    "is where a processor loses most by system calls.",
    "On the ground “wall clock” an emulated CPU is a thread of this machine. Ratios of neighbours in "
    "time are quoted, and they are wide where this machine has fewer CPUs than the guest.",
    "Latencies in a guest are those of emulated CPUs, of which a machine with fewer gives each only a part of "
    "the time: they hold beside each other, and say nothing of a processor.",
    "Misses are those of the cache model, not of a processor.",
    UNDECIDED,
)
LATENCIES = {"latency": "Latency at arrival rates, with the module",
             "latency_native": "Latency at arrival rates, without the module"}
CLASSES = {"aim reached": "good", "reached": "good", figures.FALLS_SHORT: "bad", "undecided": "open"}


def keys_module(subject: str) -> ModuleType:
    """Each subject has a module of that name, so they are loaded by hand."""
    spec = importlib.util.spec_from_file_location(f"keys_{subject}", HERE / subject / "keys.py")
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def book_of(subject: str) -> Book:
    """Of a subject that is measured in guests."""
    return keys_module(subject).BOOK


def keys_of(subject: str) -> dict[str, figures.Key]:
    module = keys_module(subject)
    return module.BOOK.keys if hasattr(module, "BOOK") else module.KEYS


def figure_of(found: dict) -> Figure:
    return Figure(found["value"], tuple(found["spread"]), found["pairs"])


def row(key: figures.Key, found: dict) -> str:
    figure = figure_of(found)
    cells = [("", html.escape(key.name)), ("", html.escape(found.get("what", key.what))),
             ("n", figures.number(figure.value)), ("n", figures.spread(figure))]
    if found.get("unit", key.unit) == key.unit:
        verdict = figures.judged(figure, key.goal)
        sign = "≥" if key.goal.more else "≤"
        cells += [("n", f"{sign} {figures.number(key.goal.must)}"),
                  ("n", f"{sign} {figures.number(key.goal.aim)}"), (CLASSES[verdict], verdict)]
    else:  # nothing to hold it against
        cells += [("n", ""), ("n", ""), ("open", html.escape(found["unit"]))]
    cells.append(("", html.escape(key.seeds)))
    return "<tr>" + "".join(f'<td class="{kind}">{text}</td>' for kind, text in cells) + "</tr>"


def sides(found: dict[str, dict]) -> str:
    """Of ratios whose two sides mean something by themselves: these."""
    rows = [(name, *(f"{whose}: {figures.number(value)}"
                     for whose, value in zip(figure["side_names"], figure["sides"], strict=True)),
             figure["side_unit"]) for name, figure in found.items() if "side_names" in figure]
    if not rows:
        return ""
    return ("<h3>Both sides</h3><p>Medians of the samples: their ratio need not be the figure, which is the median "
            f"of the ratios of neighbours in time.</p>{table(('key', 'ours', 'the other', ''), rows, 4)}")


def remedies(subject: str, found: dict) -> str:
    """Of figures that fall short: what would have to change."""
    names: dict[str, list[str]] = {}
    for name, key in keys_of(subject).items():
        if (key.remedy and name in found and found[name].get("unit", key.unit) == key.unit
                and figures.judged(figure_of(found[name]), key.goal) == figures.FALLS_SHORT):
            names.setdefault(key.remedy, []).append(name)
    if not names:
        return ""
    body = "".join(f"<dt>{html.escape(', '.join(those))}</dt><dd>{html.escape(text)}</dd>"
                   for text, those in names.items())
    return f"<h3>What falls short, and what would have to change</h3><dl>{body}</dl>"


def section(subject: str, found: dict) -> str:
    rows = [row(key, found[name]) for name, key in keys_of(subject).items() if name in found]
    grounds = sorted({figure["ground"] for figure in found.values() if "ground" in figure})
    head = "".join(f"<th>{title}</th>" for title in
                   ("key", "what", "value", "spread", "must", "aim", "", "earlier systems"))
    configurations = "".join(
        f"<details><summary>Configuration of {html.escape(name)}</summary>"
        f"<pre>{html.escape(figure['configuration'])}</pre></details>"
        for name, figure in found.items() if "configuration" in figure)
    latencies = "".join(latency.section(title, found[name]) for name, title in LATENCIES.items()
                        if name in found)
    return (f"<h2>{TITLES[subject]}</h2><table><tr>{head}</tr>{''.join(rows)}</table>"
            f"{'' if is_bare_metal({subject: found}) else remedies(subject, found)}{configurations}"
            f"{instructions.section(found['profile']) if 'profile' in found else ''}{latencies}{sides(found)}"
            f"<p>Grounds: {html.escape('; '.join(grounds))}. One of them again: "
            f"<code>./run bench {subject} KEY</code></p>")


def picture(plot: plots.Plot, png: Path) -> str:
    data = base64.b64encode(png.read_bytes()).decode()
    return (f'<figure><img alt="{html.escape(plot.title)}" src="data:image/png;base64,{data}">'
            f"<figcaption>{html.escape(plot.caption)}</figcaption></figure>")


def write(found: dict, folder: Path) -> Path:
    """The page, from the results of bench/all.py. @returns where it is"""
    folder.mkdir(parents=True, exist_ok=True)
    results = found["results"]
    pictures = []
    for plot in plots.all_plots(results):
        png = folder / f"{plot.name}.png"
        plots.draw(plot, png)
        pictures.append(picture(plot, png))
    caveats = REAL_CAVEATS if is_bare_metal(results) else CAVEATS
    left_out = "".join(f"<li>{html.escape(name)}: {html.escape(why)}</li>"
                       for name, why in found.get("left_out", {}).items())
    about = {"made": found["made"], "command": found["command"], **found["machine"]}
    facts = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>"
                    for name, value in about.items())
    quick = ("<p class=bad>A quick run: it shows that everything can be measured. Its figures mean "
             "nothing.</p>" if found["quick"] else "")
    text = (f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>FlexSC, measured</title>'
            f"<style>{STYLE}</style></head><body><h1>FlexSC, measured</h1>{quick}"
            + "".join(pictures)
            + "".join(section(subject, results[subject]) for subject in TITLES if results.get(subject))
            + (f"<h2>Not measured</h2><ul>{left_out}</ul>" if left_out else "")
            + "<h2>What to keep in mind</h2><ul>"
            + "".join(f"<li>{html.escape(caveat)}</li>" for caveat in caveats)
            + f"</ul><h2>Where and how</h2><table>{facts}</table></body></html>\n")
    target = folder / "report.html"
    target.write_text(text)
    return target


def main(arguments: list[str]) -> int:
    if not 1 <= len(arguments) <= 2 or arguments[0].startswith("-"):
        print("usage: ./run bench report RESULTS.json [FOLDER]", file=sys.stderr)
        return 2
    source = Path(arguments[0])
    try:
        found = json.loads(source.read_text())
    except (OSError, ValueError) as error:
        raise HarnessError(f"{source} cannot be read: {error}") from error
    if "results" not in found:
        raise HarnessError(f"{source} is not of `./run bench`: it has one subject only")
    print(write(found, Path(arguments[1]) if len(arguments) == 2 else source.parent))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HarnessError as error:
        sys.exit(f"error: {error}")
