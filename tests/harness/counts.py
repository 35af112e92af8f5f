# SPDX-License-Identifier: MIT
"""Counting tests, from what the test runners write."""

import json
import xml.etree.ElementTree as xml
from dataclasses import dataclass, field
from pathlib import Path


# Of what a failed case has printed, shown once more at the end.
LINES = 16


@dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)
    skips: list[str] = field(default_factory=list)

    def add(self, other: "Counts") -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures
        self.skips += other.skips

    def fail(self, name: str, said: str = "") -> None:
        """`said`: what explains it; its last lines go below the name."""
        lines = [line for line in said.splitlines()
                 if line.strip() and not line.startswith(("[--", "[=="))]
        self.failed += 1
        self.failures.append("\n    ".join([name, *lines[-LINES:]]))

    def skip(self, name: str) -> None:
        self.skipped += 1
        self.skips.append(name)

    def line(self) -> str:
        text = f"{self.passed} passed, {self.failed} failed"
        return f"{text}, {self.skipped} skipped" if self.skipped else text


def skip_reason(case: xml.Element) -> str:
    """SKIP_... if the test itself asked for it; else why ctest could not run it."""
    skipped = case.find("skipped")
    return "" if skipped is None else skipped.get("message", "")


def from_junit(path: Path) -> Counts:
    """What `ctest --output-junit` wrote."""
    counts = Counts()
    for case in xml.parse(path).iter("testcase"):
        name = case.get("name", "?")
        if case.find("failure") is not None or case.get("status") == "fail":
            counts.fail(name, case.findtext("system-out", ""))
        elif case.get("status") == "run":
            counts.passed += 1
        elif case.get("status") == "disabled" or skip_reason(case).startswith("SKIP_"):
            counts.skip(name)
        else:
            counts.fail(f"{name} (did not run: {skip_reason(case) or 'no reason given'})")
    return counts


def from_gtest(path: Path) -> Counts:
    """What `--gtest_output=json:` wrote."""
    counts = Counts()
    for suite in json.loads(path.read_text())["testsuites"]:
        for case in suite["testsuite"]:
            name = f"{suite['name']}.{case['name']}"
            if case.get("failures"):
                counts.fail(name, "\n".join(each.get("failure", "") for each in case["failures"]))
            elif case["result"] == "COMPLETED":
                counts.passed += 1
            elif case["result"] in ("SKIPPED", "SUPPRESSED"):  # the latter: DISABLED_
                counts.skip(name)
            else:
                counts.fail(f"{name} ({case['result']})")
    return counts
