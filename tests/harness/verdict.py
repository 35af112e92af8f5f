# SPDX-License-Identifier: MIT
"""What a guest's ports say about a run: its exit status, and everything that went wrong."""

import re
from dataclasses import dataclass, field

START_MARK = "flexsc-harness: start"
MARK_PREFIX = "flexsc-harness: "

# A line of the kernel that fails a run whatever the command returned. Faults of a user process
# ("traps: name[pid] general protection fault ip:...") are the test's business and are not here.
FAILURE_MARKS = re.compile("|".join((
    r"\bBUG\b", r"\bWARNING:", r"\bOops\b", r"Kernel panic",
    r"general protection fault(?! ip:)", r"unable to handle", r"invalid opcode:",
    r"divide error:", r"stack segment:", r"double fault",
    r"locking dependency", r"recursive locking", r"inconsistent lock state", r"unlock balance",
    r"suspicious RCU usage", r"lockdep(?!\w*\+0x)", r"nested lock was not taken", r"lock held when returning",
    r"hung task", r"blocked for more than \d+ seconds", r"rcu: INFO", r"\bstall(s|ed)? on CPU",
    r"soft lockup", r"hard LOCKUP", r"scheduling while atomic", r"sleeping function called",
    r"\bKASAN\b", r"\bKCSAN\b", r"\bKMSAN\b", r"\bKFENCE\b", r"\bUBSAN\b",
    r"kmemleak: \d+ new suspected",
    r"refcount_t:", r"list_(add|del) corruption", r"Bad page", r"Objects remaining in",
    r"ODEBUG:", r"DEBUG_LOCKS_WARN_ON", r"sysfs: cannot create duplicate",
    r"Out of memory:", r"flexsc: .* leak",
    # The console could not keep up: what it did not print cannot be judged.
    r"printk messages dropped",
)))


# A report of KCSAN stands between two such lines.
REPORT_EDGE = re.compile(r"^.*={40,}.*\n", re.MULTILINE)
ACCESS = re.compile(r" to 0x[0-9a-f]+ of \d+ bytes by ")


def race_is_ours(report: str) -> bool:
    """
    Whether one of the two accesses is made by the module, or by what it calls. The kernel has races of
    its own, above all when threads exit, and inside of system calls, whoever makes them.
    """
    inside = False
    for line in report.splitlines():
        if ACCESS.search(line):
            inside = True
        elif "x64_sys_call" in line:
            inside = False
        elif inside and "[flexsc]" in line:
            return True
    return False


def without_foreign_races(console: str) -> str:
    return "\n".join(part for part in REPORT_EDGE.split(console)
                     if "BUG: KCSAN" not in part or race_is_ours(part))


# The kernel prints in interrupts (that one took long, on an emulated machine), and the console's lock
# may not be taken there, says lockdep of 6.1: the kernel's own matter. Lockdep says nothing after it.
CONSOLE_LOCK = re.compile(r"^.*BUG: Invalid wait context.*\n(?:.*\n){3}.*serial8250_console_write.*\n",
                          re.MULTILINE)


def failure_marks(console: str) -> list[str]:
    """The lines after the start mark that fail the run; none if the mark never came."""
    _, mark, after = console.partition(START_MARK)
    if not mark:
        return []
    ours = CONSOLE_LOCK.sub("", without_foreign_races(after))
    return [line.strip() for line in ours.splitlines() if FAILURE_MARKS.search(line)]


@dataclass
class Report:
    """What the init script said, see guest-init."""

    booted: bool = False
    started: bool = False
    ended: bool = False
    left: str = ""
    exit_status: int | None = None
    out_status: int | None = None
    problems: list[str] = field(default_factory=list)


def parse_report(text: str) -> Report:
    report = Report()
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        number, _, message = rest.partition(" ")
        if word == "boot":
            report.booted = True
        elif word == "start":
            report.started = True
        elif word == "done":
            report.ended = True
        elif word == "left":
            report.left = rest
        elif word == "problem":
            report.problems.append(rest)
        elif word == "exit":
            report.exit_status = int(number)
        elif word == "out":
            report.out_status = int(number)
        elif word in ("insmod", "rmmod") and number != "0":
            report.problems.append(f"{word} failed: {message or 'no message'}")
    return report


def judge(report: Report, console: str, timed_out: bool) -> list[str]:
    """All problems of a run that got as far as its start, apart from the exit status."""
    problems = [f"the kernel said: {line}" for line in failure_marks(console)]
    problems += report.problems
    if report.out_status:
        problems.append(f"copying /out failed with status {report.out_status}")
    if not report.ended and not timed_out:
        problems.append("the guest died before it was done")
    return problems
