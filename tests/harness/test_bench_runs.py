# SPDX-License-Identifier: MIT
"""Which guests `./run bench` boots, beside what, how far they are, and what they leave."""

import io
import sys
import tempfile
import unittest
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock

from paths import ROOT, HarnessError

sys.path[:0] = [str(ROOT / "bench/kernel"), str(ROOT / "bench")]

# pylint: disable=wrong-import-position
import arithmetic  # noqa: E402
import boot  # noqa: E402
import figures  # noqa: E402
import guest_run as bench  # noqa: E402
import guests  # noqa: E402
import latency  # noqa: E402
import report  # noqa: E402
from keys import BOOK  # noqa: E402
from progress import BOOT_SECONDS, Progress  # noqa: E402


class Native(unittest.TestCase):
    """What is measured on this machine, by a program that only says what it was asked for."""

    def run_program(self, script: str) -> report.Samples:
        extra = guests.Extra("latency", "", guests.NATIVE, 10, latency.entry, latency.lines)
        book = guests.Book("server", "program", (), (extra,))
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()) as self.out, \
                mock.patch.object(bench, "BUILD", Path(folder)):
            (Path(folder) / "bin").mkdir()
            program = Path(folder) / "bin/program"
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
            boots = book.boots(["latency"])
            progress = Progress(book, boots)
            samples = bench.Runner(book, None, True, progress).measure(boots[0])
            self.assertEqual(progress.left(), 0)
        return samples

    def test_its_samples_and_what_it_says(self) -> None:
        samples = self.run_program('echo progress latency 0.00; echo hello; '
                                   'echo "{\\"results\\": {\\"latency\\": {\\"arguments\\": \\"$1 $2 $4\\"}}, '
                                   '\\"errors\\": {}}" > "$3"')
        self.assertEqual(samples.results, {"latency": {"arguments": "--quick --json latency"}})
        self.assertEqual((samples.errors, samples.problems), ({}, []))
        self.assertIn("this machine", samples.ground)
        self.assertRegex(self.out.getvalue(), r"latency +0%.*\nhello\n")

    def test_why_there_are_none(self) -> None:
        self.assertEqual(self.run_program("exit 3").errors,
                         {"latency": "no samples: the program ended with status 3"})
        told = self.run_program('echo "{\\"results\\": {}, \\"errors\\": {\\"latency\\": \\"no port\\"}}" > "$3"; exit 1')
        self.assertEqual(told.errors, {"latency": "no port"})
class Runner(unittest.TestCase):
    def test_a_boot_for_each_kind_of_guest(self) -> None:
        boots = BOOK.boots(["flush64", "single_other", "table", "breakeven_other"])
        self.assertEqual([boot.names for boot in boots],
                         [("flush64", "table"), ("single_other", "breakeven_other")])

    def test_what_is_counted_alone_boots_alone(self) -> None:
        counts = guests.Ground(3, counts="caches")
        book = guests.Book("server", "program",
                           (guests.Key(name, "", "ratio", counts, arithmetic.ratio, figures.at_least(1, 1), "", 1)
                            for name in ("a", "b")))
        self.assertEqual([boot.names for boot in book.boots(["a", "b"])], [("a",), ("b",)])

    def test_exact_guests_run_side_by_side_and_all_others_alone_and_last(self) -> None:
        names = ["single_other", "table", "flush64", "one_connection", "parked"]
        *exact, rest = [[boot.names for boot in lane] for lane in BOOK.lanes(names, 2)]
        self.assertEqual(sorted(name for lane in exact for names in lane for name in names),
                         ["flush64", "one_connection", "table"])
        self.assertTrue(all(exact))
        self.assertEqual(rest, [("single_other",), ("parked",)])
        longest = max(("flush64", "one_connection", "table"), key=BOOK.seconds)
        self.assertIn([(longest,)], exact)  # the two others take no longer than that

    def test_what_fails_in_a_lane_ends_the_measurement(self) -> None:
        with mock.patch.object(bench.Runner, "measure", side_effect=HarnessError("no kernel")), \
                self.assertRaisesRegex(HarnessError, "no kernel"):
            bench.measure(bench.Runner(BOOK, None, True, None), BOOK.lanes(["flush64", "parked"], 2))

    def test_the_order_of_results_is_that_of_the_book(self) -> None:
        first, second, *_ = BOOK.keys
        samples = [report.Samples("here", {name: {}}, {}, []) for name in (second, first)]
        self.assertEqual([name for name, _, _ in report.in_order(BOOK, samples)], [first, second])

    def test_all_keys_unless_some_are_named(self) -> None:
        self.assertEqual(bench.parse(BOOK, "", []).keys, list(BOOK.keys))
        self.assertEqual(bench.parse(BOOK, "", ["--quick", "parked", "parked"]).keys, ["parked"])

    def test_why_there_are_no_samples(self) -> None:
        log = Path("/log")
        for outcome, running, expected in (
                (boot.Outcome(None, [], 900, log, timed_out=True), "parked",
                 "no samples: the guest was stopped at its time limit in parked, see /log"),
                (boot.Outcome(None, [], 9, log), "", "no samples: the guest died, see /log"),
                (boot.Outcome(139, [], 9, log), "copy512",
                 "no samples: the program ended with status 139 in copy512, see /log")):
            self.assertEqual(bench.lost(outcome, running), expected)

    def test_samples_that_did_not_arrive_are_none(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "samples.json"
            self.assertIsNone(bench.read_samples(file))
            file.write_text('{"results": {"flush64": {"pa')
            self.assertIsNone(bench.read_samples(file))
            file.write_text('{"results": {}, "errors": {}}')
            self.assertEqual(bench.read_samples(file), {"results": {}, "errors": {}})


class HowFar(unittest.TestCase):
    def test_progress_knows_what_is_left(self) -> None:
        boots = BOOK.boots(["flush64", "parked"])
        progress = Progress(BOOK, boots)
        with redirect_stdout(io.StringIO()) as out:
            guest = progress.guest(boots[0])
            for line in ("progress flush64 0.00", "progress flush64 1.00", "a word", "[kernel] x"):
                guest.line(line)
        self.assertRegex(out.getvalue(), r"\A  flush64 +0%   about \d+ s left\na word\n\Z")
        self.assertEqual(progress.done(), BOOT_SECONDS + BOOK.seconds("flush64"))
        self.assertLess(progress.left(), progress.total)

    def test_guests_side_by_side_take_half_as_long(self) -> None:
        boots = [boot for lane in BOOK.lanes(["flush64", "copy512", "parked"], 2) for boot in lane]
        progress = Progress(BOOK, boots, 2)
        exact = [2 * BOOT_SECONDS + BOOK.seconds("flush64") + BOOK.seconds("copy512")]
        self.assertEqual(progress.total, sum(exact) / 2 + BOOT_SECONDS + BOOK.seconds("parked"))
        one, other = map(progress.guest, boots[:2])
        with redirect_stdout(io.StringIO()):
            one.line(f"progress {boots[0].names[0]} 1.00")
            other.line(f"progress {boots[1].names[0]} 1.00")
        self.assertEqual(progress.done(), sum(exact) / 2)
        one.over()
        other.over()
        self.assertEqual(progress.done(), sum(exact) / 2)

    def test_a_lost_guest_leaves_nothing_to_wait_for(self) -> None:
        boots = BOOK.boots(["flush64", "copy512", "parked"])
        progress = Progress(BOOK, boots)
        with redirect_stdout(io.StringIO()):
            guest = progress.guest(boots[0])
            guest.line("progress flush64 1.00")
            guest.line("progress copy512 0.50")
            self.assertEqual(guest.running, "copy512")
            guest.over()
            self.assertEqual(progress.total - progress.done(), BOOT_SECONDS + BOOK.seconds("parked"))
            progress.guest(boots[1]).over()  # one that does not even boot
        self.assertEqual(progress.done(), progress.total)
        self.assertEqual(progress.left(), 0)


if __name__ == "__main__":
    unittest.main()
