#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `./run demo` makes of its measurements."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
import demo  # noqa: E402 (found through the line above)


def run(model: str, engine: str, round_number: int, rate: float, **changes: object) -> dict:
    return {"ground": "guest", "model": model, "engine": engine, "round": round_number,
            "requests_per_s": rate, "p50_us": 900.0, "p99_us": 250_000.0,
            "crossings_per_request": 6.0, "errors": 0, **changes}


class Report(unittest.TestCase):
    def rows(self, *runs: dict) -> dict[str, demo.Row]:
        return {demo.name(row): row for row in demo.rows_of(list(runs))}

    def test_ratios_are_taken_within_a_round(self) -> None:
        # The machine is ten times slower in the second round: the ratio is the same.
        rows = self.rows(run("epoll", "none", 1, 1000), run("fibers", "kernel", 1, 1500),
                         run("epoll", "none", 2, 100), run("fibers", "kernel", 2, 150))
        self.assertAlmostEqual(rows["fibers/kernel"].relative, 1.5)
        self.assertAlmostEqual(rows["epoll"].relative, 1.0)

    def test_errors_of_all_rounds_are_kept(self) -> None:
        rows = self.rows(run("epoll", "none", 1, 10, errors=2), run("epoll", "none", 2, 10, errors=3))
        self.assertEqual(rows["epoll"].errors, 5)

    def test_table_has_a_line_per_row_and_ground(self) -> None:
        rows = demo.rows_of([run("epoll", "none", 1, 10), run("pool", "none", 1, 5)])
        lines = demo.table(rows).splitlines()
        self.assertEqual(len(lines), 5)
        self.assertIn("0.50 x", lines[4])
        self.assertIn("0.90 ms", lines[4])
        self.assertIn("250 ms", lines[4])

    def test_sentence_says_it_when_a_rival_wins(self) -> None:
        rows = demo.rows_of([run("epoll", "none", 1, 100), run("threads", "none", 1, 130),
                             run("fibers", "kernel", 1, 50, crossings_per_request=0.014)])
        text = demo.sentence(rows, "guest")
        self.assertIn("0.014 times per request", text)
        self.assertIn("0.50 times the requests per second of epoll", text)
        self.assertIn("threads was fastest with 1.30", text)
        self.assertIn("no request failed", text)

    def test_sentence_is_about_the_best_engine_that_was_measured(self) -> None:
        rows = demo.rows_of([run("epoll", "none", 1, 100), run("fibers", "threads", 1, 20),
                             run("fibers", "uring", 1, 90)])
        self.assertIn("fibers/uring crossed", demo.sentence(rows, "guest"))
        self.assertNotIn("fibers/threads", demo.sentence(rows, "guest"))

    def test_sentence_without_a_measurement_says_so(self) -> None:
        self.assertIn("Nothing was measured", demo.sentence([], "native"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
