# SPDX-License-Identifier: MIT
"""Which of the module's blocks a fuzzer reached: the calls to KCOV that the compiler put into them."""

import bisect
import re
import subprocess
from pathlib import Path

HOOK = "__sanitizer_cov_trace_pc"
# KCOV notes where the call returns to: behind its four bytes of address.
CALL_BYTES = 4
UNREACHED_SHOWN = 12

SECTION = re.compile(r"^Relocation section '\.rela(\S+)' at")
RELOCATION = re.compile(rf"^([0-9a-f]+)\s.*\s{HOOK}\b")
FUNCTION = re.compile(r"^([0-9a-f]+)\s+(?:[0-9a-f]+\s+)?[tT]\s+(\S+)$", re.MULTILINE)


def blocks_of(relocations: str) -> list[int]:
    """From `readelf -rW`: offsets in .text, ascending."""
    section = ""
    found: list[int] = []
    for line in relocations.splitlines():
        heading = SECTION.match(line)
        if heading:
            section = heading[1]
        place = RELOCATION.match(line)
        if place and section == ".text":
            found.append(int(place[1], 16) + CALL_BYTES)
    return sorted(found)


def functions_of(symbols: str) -> list[tuple[int, str]]:
    """From `nm` of .text: where each begins, ascending."""
    return sorted((int(place, 16), name) for place, name in FUNCTION.findall(symbols))


def by_function(blocks: list[int], functions: list[tuple[int, str]]) -> dict[str, set[int]]:
    starts = [place for place, _ in functions]
    found: dict[str, set[int]] = {}
    for block in blocks:
        at = bisect.bisect_right(starts, block) - 1
        found.setdefault(functions[at][1] if at >= 0 else "?", set()).add(block)
    return found


def describe(blocks: list[int], functions: list[tuple[int, str]], reached: set[int]) -> str:
    hit = reached & set(blocks)
    lines = [f"fuzz: {len(hit)} of the {len(blocks)} blocks of the module were reached"]
    missing = {name: len(own - hit) for name, own in by_function(blocks, functions).items()
               if own - hit}
    worst = sorted(missing.items(), key=lambda item: (-item[1], item[0]))[:UNREACHED_SHOWN]
    if worst:
        lines.append("fuzz: most of what was not: "
                     + ", ".join(f"{name} ({number})" for name, number in worst))
    return "\n".join(lines)


def run(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def text_symbols(module: Path) -> str:
    """nm's lines of the symbols in .text alone: other sections begin at 0 too."""
    sections = run("readelf", "-SW", module)
    number = re.search(r"\[\s*(\d+)\]\s+\.text\s", sections)
    table = run("readelf", "-sW", module)
    wanted = number[1] if number else ""
    lines: list[str] = []
    for line in table.splitlines():
        words = line.split()
        if len(words) == 8 and words[3] == "FUNC" and words[6] == wanted:
            lines.append(f"{words[1]} t {words[7]}")
    return "\n".join(lines)


def summary(module: Path, reached: Path) -> str:
    blocks = blocks_of(run("readelf", "-rW", module))
    functions = functions_of(text_symbols(module))
    return describe(blocks, functions, {int(line) for line in reached.read_text().split()})
