# SPDX-License-Identifier: MIT
"""
Where the instructions of a request go, by part of the machine and by function, for each server. The emulator
counts them by address (bench/cache-model) between marks; here the addresses get names.
"""

import bisect
import html
import re
import subprocess
from collections import Counter
from pathlib import Path

from figures import aligned
from markup import table
from paths import BUILD, HarnessError

UNIT = "instructions per request"
KERNEL, CROSSINGS, MODULE, LIBFLEXSC, FIBERS, PROGRAM, LIBRARIES, CLIENT = PARTS = (
    "kernel", "kernel, crossings", "module", "libflexsc", "fibers", "program of the server",
    "its other libraries", "program of the client")
OF_FILE = {"libflexsc_fiber.so": FIBERS, "libflexsc.so": LIBFLEXSC}
# What the kernel does for each system call before and after the call itself.
CROSSING = re.compile(r"entry_SYSCALL_64.*|do_syscall_64|x64_sys_call|syscall_(enter_from|exit_to)_user_mode.*|"
                      r"exit_to_user_mode_prepare|syscall_return_via_sysret")
# Variants that the compiler makes of one function.
VARIANT = re.compile(r"(\.(constprop|isra|part|cold|lto_priv)(\.\d+)*)+| \[clone .*\]")
LEAST = 20  # instructions per request, in one of the servers, of a function that is listed
LISTED = 60
DIFFERENCES = 10


class Symbols:
    """Which symbol an address belongs to: the last one that does not begin behind it."""

    def __init__(self, found: list[tuple[int, str]]) -> None:
        self.symbols = sorted(found)
        self.starts = [start for start, _ in self.symbols]

    def at(self, address: int) -> str | None:
        place = bisect.bisect_right(self.starts, address)
        return self.symbols[place - 1][1] if place else None


def kernel_symbols(text: str) -> Symbols:
    """Of lines of /proc/kallsyms; those of a module end with its name in brackets."""
    rows = (line.split() for line in text.splitlines())
    return Symbols([(int(row[0], 16), " ".join(row[2:])) for row in rows])


def short(name: str) -> str:
    """A function of C++ without its arguments."""
    name = VARIANT.sub("", name.replace("(anonymous namespace)::", ""))
    end = name.find("(", name.find("operator()") + len("operator()") if "operator()" in name else 0)
    return name[:end] if end > 0 else name


class Process:
    """The files that a process has in its memory, and where."""

    def __init__(self, maps: str) -> None:
        self.files = []
        self.symbols: dict[str, Symbols] = {}
        for row in (line.split(maxsplit=5) for line in maps.splitlines()):
            if len(row) == 6 and "x" in row[1]:
                start, end = (int(number, 16) for number in row[0].split("-"))
                self.files.append((start, end, int(row[2], 16), Path(row[5].strip()).name))
        if not self.files:
            raise HarnessError("a server was profiled whose memory could not be seen")
        self.program = self.files[0][3]

    def at(self, address: int) -> tuple[str, str] | None:
        """Part and function; None if it is not of this process. Of a file that has no symbols, its name."""
        for start, end, offset, name in self.files:
            if start <= address < end:
                part = PROGRAM if name == self.program else OF_FILE.get(name, LIBRARIES)
                return part, self._symbols(name).at(address - start + offset) or name
        return None

    def _symbols(self, name: str) -> Symbols:
        """Of what we build; others' files have been stripped. Code has its addresses where it has its offsets."""
        if name not in self.symbols:
            ours = [path for path in (BUILD / "bin" / name, BUILD / "lib" / name) if path.exists()]
            self.symbols[name] = Symbols(read_symbols(ours[0]) if ours else [])
        return self.symbols[name]


def read_symbols(file: Path) -> list[tuple[int, str]]:
    listed = subprocess.run(["nm", "--demangle", "--defined-only", file], capture_output=True, text=True,
                            check=True).stdout
    rows = (line.split(maxsplit=2) for line in listed.splitlines())
    return [(int(row[0], 16), short(row[2])) for row in rows if row[1] in "tTwWi"]


def named(places: dict[int, int], process: Process, kernel: Symbols) -> Counter[tuple[str, str]]:
    """Instructions by part and function."""
    found: Counter[tuple[str, str]] = Counter()
    for address, count in places.items():
        if address >> 63:
            name = VARIANT.sub("", kernel.at(address) or "unknown")
            part = MODULE if name.endswith("[flexsc]") else CROSSINGS if CROSSING.fullmatch(name) else KERNEL
            found[part, name.removesuffix(" [flexsc]")] += count
        else:  # nobody else runs meanwhile but the client
            found[process.at(address) or (CLIENT, CLIENT)] += count
    return found


def group_of(group: dict, places: list[dict[int, int]], kernel: Symbols) -> dict:
    """Of servers with the same load: what each executes of each part and function for a request."""
    counts = []
    for side, at in zip(group["sides"], places, strict=True):
        found = named(at, Process(side["maps"]), kernel)
        counts.append({what: count / side["requests"] for what, count in found.items()})
    parts = {part: [sum(value for (of, _), value in count.items() if of == part) for count in counts]
             for part in PARTS}
    functions = [{"part": what[0], "name": what[1], "values": [count.get(what, 0.0) for count in counts]}
                 for what in {what for count in counts for what in count}]
    functions.sort(key=lambda function: -max(function["values"]))
    return {"name": group["name"], "sides": [side["name"] for side in group["sides"]], "parts": parts,
            "functions": [function for function in functions if max(function["values"]) >= LEAST]}


def profiled(answers: list[tuple[dict, list[dict[int, int]]]]) -> dict:
    """Of one guest: what the program says, and what was executed between its marks."""
    (answer, places), = answers
    sides = [side for group in answer["groups"] for side in group["sides"]]
    if len(places) != len(sides):
        raise HarnessError(f"the emulator stopped counting {len(places)} times for {len(sides)} servers")
    kernel = kernel_symbols(answer["symbols"])
    rest = iter(places)
    return {"groups": [group_of(group, [next(rest) for _ in group["sides"]], kernel)
                       for group in answer["groups"]]}


def entry(result: dict) -> dict:
    """As it is in the file of --json."""
    def rounded(values: list[float]) -> list[float]:
        return [round(value, 1) for value in values]
    return {"unit": UNIT, "groups": [
        {**group, "parts": {part: rounded(values) for part, values in group["parts"].items()},
         "functions": [{**function, "values": rounded(function["values"])} for function in group["functions"]]}
        for group in result["groups"]]}


def totals(group: dict) -> list[float]:
    return [sum(values) for values in zip(*group["parts"].values(), strict=True)]


def rows(group: dict) -> list[list[str]]:
    """A table of its parts."""
    lines = [*group["parts"].items(), ("all", totals(group))]
    return [[name, *(f"{value:,.0f}" for value in values)] for name, values in lines if any(values)]


def differences(group: dict, other: int) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """In which functions the first server executes most more, and most less, than another one of its group."""
    found = sorted(((function["name"], function["values"][0] - function["values"][other])
                    for function in group["functions"]), key=lambda each: -each[1])
    return ([each for each in found[:DIFFERENCES] if each[1] > 0],
            [each for each in found[:-DIFFERENCES - 1:-1] if each[1] < 0])


def told(found: list[tuple[str, float]]) -> str:
    return ", ".join(f"{name} {value:+,.0f}" for name, value in found) or "none"


def lines(result: dict) -> list[str]:
    """For people: the parts, and what makes the difference."""
    text = []
    for group in result["groups"]:
        text += [f"{group['name']}, {UNIT}:", *aligned([["", *group["sides"]], *rows(group)])]
        for i, side in enumerate(group["sides"][1:], 1):
            more, less = differences(group, i)
            text += [f"  {group['sides'][0]} against {side}, more: {told(more)}", f"    less: {told(less)}"]
    return text


def section(found: dict) -> str:
    """For the report."""
    text = "<h3>Where the instructions of a request go</h3>"
    for group in found["groups"]:
        text += f"<h4>{html.escape(group['name'])}</h4>" + table(["part", *group["sides"]], rows(group), 1)
        for i, side in enumerate(group["sides"][1:], 1):
            more, less = map(told, differences(group, i))
            text += (f"<p>{html.escape(group['sides'][0])} against {html.escape(side)}. "
                     f"More: {html.escape(more)}. Less: {html.escape(less)}.</p>")
        functions = [[function["part"], function["name"], *(f"{value:,.0f}" for value in function["values"])]
                     for function in group["functions"][:LISTED]]
        text += ("<details><summary>By function</summary>"
                 + table(["part", "function", *group["sides"]], functions, 2) + "</details>")
    return (f"{text}<p>{UNIT.capitalize()}, client and kernel included. The client, and libraries and servers of "
            f"others, are each one function here. Ground: {html.escape(found['ground'])}.</p>")
