# SPDX-License-Identifier: MIT
"""What `./run bench` makes of samples, without a guest."""

import io
import json
import sys
import tempfile
import unittest
from contextlib import redirect_stdout
from pathlib import Path

from paths import ROOT, HarnessError

sys.path[:0] = [str(ROOT / "bench/kernel"), str(ROOT / "bench")]

# pylint: disable=wrong-import-position
import all as bench_all  # noqa: E402
import arithmetic  # noqa: E402
import compare  # noqa: E402
import figures  # noqa: E402
import guest_run as bench  # noqa: E402
import guests  # noqa: E402
import keep  # noqa: E402
import latency  # noqa: E402
import misses  # noqa: E402
import page  # noqa: E402
import plots  # noqa: E402
import report  # noqa: E402
import tables  # noqa: E402
from arithmetic import REACHED, SHORT, UNDECIDED, Figure  # noqa: E402
from keys import BOOK  # noqa: E402


def batches(ratios: dict[int, list[float]]) -> dict:
    return {"batches": {str(size): [[ratio * 10, 10] for ratio in values]
                        for size, values in ratios.items()}}


class Arithmetic(unittest.TestCase):
    def test_a_figure_is_the_median_of_the_pairs_and_not_the_ratio_of_medians(self) -> None:
        pairs = [[1, 1], [4, 2], [30, 10]]
        self.assertEqual(arithmetic.ratio({"pairs": pairs}), Figure(2, (1.5, 2.5), 3))

    def test_a_reduction_is_what_is_saved_of_the_second(self) -> None:
        found = arithmetic.reduction({"pairs": [[28, 100]] * 4})
        self.assertAlmostEqual(found.value, 0.72)
        self.assertEqual(found.pairs, 4)

    def test_an_outlier_moves_neither_value_nor_spread(self) -> None:
        found = arithmetic.count({"values": [5, 5, 5, 5, 5, 5, 5, 900]})
        self.assertEqual(found, Figure(5, (5, 5), 8))

    def test_one_sample_is_its_own_spread(self) -> None:
        self.assertEqual(arithmetic.count({"values": [50_000]}), Figure(50_000, (50_000, 50_000), 1))


class BreakEven(unittest.TestCase):
    def test_the_smallest_batch_that_is_not_dearer(self) -> None:
        found = arithmetic.break_even(batches({1: [3, 3], 2: [1.5, 1.5], 3: [1, 1], 64: [.5, .5]}))
        self.assertEqual(found, Figure(3, (3, 3), 2))

    def test_sizes_are_numbers_and_not_words(self) -> None:
        found = arithmetic.break_even(batches({2: [2], 8: [1.1], 12: [0.9], 16: [0.8]}))
        self.assertEqual(found.value, 12)

    def test_a_larger_batch_that_is_dearer_counts(self) -> None:
        found = arithmetic.break_even(batches({2: [0.9], 3: [1.2], 4: [0.8], 8: [0.7]}))
        self.assertEqual(found.value, 4)

    def test_the_spread_is_where_the_quartiles_break_even(self) -> None:
        found = arithmetic.break_even(batches({1: [3, 3, 3], 2: [0.8, 1.1, 1.4], 3: [0.8, 0.9, 1.4],
                                               4: [0.5, 0.6, 0.7]}))
        self.assertEqual(found, Figure(3, (2, 4), 3))

    def test_there_may_be_none(self) -> None:
        found = arithmetic.break_even(batches({1: [3, 3], 64: [1.1, 1.1]}))
        self.assertEqual(found, Figure(None, (None, None), 2))


class Verdict(unittest.TestCase):
    def test_more_is_better(self) -> None:
        for low, high, expected in ((0.72, 0.75, REACHED), (0.60, 0.71, SHORT),
                                    (0.71, 0.73, UNDECIDED)):
            found = arithmetic.verdict(Figure((low + high) / 2, (low, high), 5), 0.72, more=True)
            self.assertEqual(found, expected, (low, high))

    def test_less_is_better(self) -> None:
        for low, high, expected in ((1.5, 2, REACHED), (2.1, 3, SHORT), (1.9, 2.1, UNDECIDED)):
            found = arithmetic.verdict(Figure((low + high) / 2, (low, high), 5), 2, more=False)
            self.assertEqual(found, expected, (low, high))

    def test_a_break_even_that_never_comes_falls_short(self) -> None:
        self.assertEqual(arithmetic.verdict(Figure(None, (None, None), 5), 4, more=False), SHORT)

    def test_one_that_might_come_is_undecided(self) -> None:
        self.assertEqual(arithmetic.verdict(Figure(None, (4, None), 5), 4, more=False), UNDECIDED)
        self.assertEqual(arithmetic.verdict(Figure(4, (3, None), 5), 4, more=False), UNDECIDED)


class Keep(unittest.TestCase):
    """`./run bench keep` on a folder as docs/results is one."""

    NEW = {"value": 0.8, "spread": [0.79, 0.81], "pairs": 5, "unit": "fraction", "ground": "here"}
    OLD = {"value": 0.7, "spread": [0.7, 0.7], "pairs": 3, "unit": "fraction", "ground": "here", "commit": "old"}

    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.folder / "results.json").write_text(json.dumps(
            {"made": "before", "results": {"kernel": {"flush64": self.OLD, "flush1024": self.OLD}}}))
        (self.folder / "README.md").write_text(f"before\n\n{keep.HEAD}| `gone` | 1 |\n\nafter\n")

    def keep(self, content: object) -> list[str]:
        source = self.folder / "new.json"
        source.write_text(json.dumps(content))
        return keep.keep([source], self.folder, "new")

    def test_what_was_measured_takes_the_place_of_what_was_there(self) -> None:
        self.assertEqual(self.keep({"flush64": self.NEW}), ["kernel flush64"])
        found = json.loads((self.folder / "results.json").read_text())
        self.assertEqual(found["results"]["kernel"], {"flush64": {**self.NEW, "commit": "new"}, "flush1024": self.OLD})
        self.assertNotEqual(found["made"], "before")
        self.assertEqual((self.folder / "README.md").read_text(), f"""before

{keep.HEAD}| `flush64` | 0.800 (0.790 to 0.810) | ≥ 0.720 | reached | 5 | new |
| `flush1024` | 0.700 | ≥ 0.750 | falls short | 3 | old |

after
""")

    def test_a_whole_run_is_kept_too_unless_it_was_quick(self) -> None:
        whole = {"quick": False, "results": {"kernel": {"flush64": self.NEW}}}
        self.assertEqual(self.keep(whole), ["kernel flush64"])
        with self.assertRaisesRegex(HarnessError, "quick"):
            self.keep({**whole, "quick": True})

    def test_what_cannot_be_told_is_refused_and_nothing_is_changed(self) -> None:
        before = (self.folder / "results.json").read_text()
        for content, why in (({"one_connection": self.NEW}, "kernel and of server"), ({"other": 1}, "no file of")):
            with self.assertRaisesRegex(HarnessError, why):
                self.keep(content)
        self.assertEqual((self.folder / "results.json").read_text(), before)


class Report(unittest.TestCase):
    samples = [report.Samples("here", {"flush64": {"pairs": [[50, 200]] * 5},
                                       "parked": {"values": [50_000], "about": {"most": 5}}}, {}, []),
               report.Samples("there", {"breakeven_other": batches({1: [2] * 5, 64: [1.5] * 5})},
                              {"single_other": "it broke"}, ["the kernel said: BUG"])]

    def test_the_file_has_every_measured_key_and_nothing_else(self) -> None:
        self.assertEqual(report.figures(BOOK, self.samples), {
            "flush64": {"value": 0.75, "unit": "fraction", "spread": [0.75, 0.75], "pairs": 5,
                        "ground": "here"},
            "parked": {"value": 50_000, "unit": "connections", "spread": [50_000, 50_000],
                       "pairs": 1, "ground": "here", "about": {"most": 5}},
            "breakeven_other": {"value": None, "unit": "calls", "spread": [None, None], "pairs": 5,
                                "ground": "there"}})

    def test_the_file_has_arrays_of_numbers_on_one_line(self) -> None:
        found = {"a": [1, -2.5, 1e-09], "b": ["[1,  2]", [3, 4]], "c": [], "d": {"e": [None, 1]}}
        text = figures.as_text(found)
        self.assertEqual(json.loads(text), found)
        self.assertIn('"a": [1, -2.5, 1e-09],\n', text)
        self.assertIn("    [3, 4]\n", text)

    def test_the_table_says_what_was_reached_and_what_went_wrong(self) -> None:
        text = report.text(BOOK, self.samples)
        self.assertRegex(text, r"flush64 +0\.750 +0\.750 +>= 0\.720 +>= 0\.800 +reached ")
        self.assertRegex(text, r"parked +50,000 +50,000 +>= 10,000 +>= 50,000 +aim reached ")
        self.assertRegex(text, r"breakeven_other +none +none +<= 4 +<= 2 +falls short ")
        self.assertIn("50.0 against 200.0", text)
        self.assertIn("FAILED: single_other: it broke", text)
        self.assertIn("PROBLEM: the kernel said: BUG", text)

    def test_samples_under_other_conditions_are_told_too(self) -> None:
        result = {"pairs": [[30, 20]] * 5, "about": {"CPUs": "near"},
                  "otherwise": {"pairs": [[80, 20]] * 5, "about": {"CPUs": "far"}}}
        samples = [report.Samples("here", {"single_other": result}, {}, [])]
        text = report.text(BOOK, samples)
        self.assertRegex(text, r"single_other +1\.500 +1\.500 ")
        self.assertIn("30.0 against 20.0; CPUs near; otherwise 4 (4): 80.0 against 20.0; CPUs far",
                      text)
        self.assertEqual(report.figures(BOOK, samples)["single_other"]["otherwise"],
                         {"value": 4, "spread": [4, 4], "pairs": 5, "about": {"CPUs": "far"}})

    def test_lines_of_the_table_of_calls_are_medians(self) -> None:
        lines = [{"call": "no-op", "how": "flush", "batches": {"1": [7, 9, 8], "64": [2, 2, 2]}}]
        text = report.text(BOOK, [report.Samples("here", {"table": {"table": lines}}, {}, [])])
        self.assertRegex(text, r"no-op +flush +8\.0 +2\.0")


class Compare(unittest.TestCase):
    @staticmethod
    def one(value: float, low: float, high: float, unit: str = "ratio") -> dict:
        return {"value": value, "spread": [low, high], "unit": unit, "ground": "here"}

    def test_what_overlaps_or_hardly_differs_is_noise(self) -> None:
        for new in (self.one(1.2, 1.05, 1.3), self.one(1.005, 1.004, 1.006)):
            self.assertEqual(compare.judge("k", self.one(1, 0.9, 1.003 + new["spread"][0] - 1), new),
                             compare.SAME)

    def test_what_is_apart_is_better_or_worse_by_its_unit(self) -> None:
        low, high = self.one(1, 0.9, 1.1), self.one(2, 1.9, 2.1)
        self.assertEqual(compare.judge("k", low, high), compare.BETTER)
        self.assertEqual(compare.judge("k", high, low), compare.WORSE)
        calls_low, calls_high = self.one(3, 3, 3, "calls"), self.one(4, 4, 4, "calls")
        self.assertEqual(compare.judge("k", calls_low, calls_high), compare.WORSE)
        self.assertEqual(compare.judge("kernel single_other", low, high), compare.WORSE)

    def test_files_of_all_and_of_one_subject(self) -> None:
        old = {"results": {"kernel": {"a": self.one(1, 1, 1), "table": {"lines": []}}}}
        new = {"results": {"kernel": {"a": self.one(2, 2, 2), "b": self.one(1, 1, 1)}}}
        lines, worse = compare.compare(old, new)
        self.assertFalse(worse)
        self.assertRegex("\n".join(lines), r"kernel a +1 +2 +\+100\.0% +better\nonly in the new one: kernel b")
        self.assertTrue(compare.compare(new["results"]["kernel"], old["results"]["kernel"])[1])

    def test_other_grounds_are_not_compared(self) -> None:
        lines, worse = compare.compare({"a": self.one(2, 2, 2)},
                                       {"a": {**self.one(1, 1, 1), "ground": "there"}})
        self.assertFalse(worse)
        self.assertIn("not comparable", lines[1])


class Page(unittest.TestCase):
    def test_a_report_of_what_there_is(self) -> None:
        figure = {"value": 0.9, "spread": [0.85, 0.95], "pairs": 5, "unit": "ratio", "ground": "<here>"}
        found = {"made": "today", "command": "./run bench", "quick": False, "machine": {"CPUs": "2"},
                 "results": {"kernel": {"breakeven_other": {**figure, "ratios": {"1": 3, "64": 0.5}}},
                             "server": {"epoll": figure, "pollution": {**figure, "sides": [10, 40]}}}}
        with tempfile.TemporaryDirectory() as folder:
            text = page.write(found, Path(folder)).read_text()
            pictures = {path.name for path in Path(folder).glob("*.png")}
        self.assertEqual(pictures, {"batches.png", "servers.png", "misses.png"})
        self.assertEqual(text.count("data:image/png;base64,"), 3)
        self.assertNotIn("src=\"http", text)
        self.assertIn("&lt;here&gt;", text)
        self.assertRegex(text, r"<td class=\"\">epoll</td>.*<td class=\"bad\">falls short</td>")

    def test_the_results_that_are_kept_make_the_plots_beside_them(self) -> None:
        kept = ROOT / "docs/results"
        with tempfile.TemporaryDirectory() as folder:
            page.write(json.loads((kept / "results.json").read_text()), Path(folder))
            self.assertEqual({path.name for path in Path(folder).glob("*.png")},
                             {path.name for path in kept.glob("*.png")})


def latencies(p99: dict[str, list[float | None]], errors: list[int]) -> dict:
    """Samples of one server."""
    table = [{"call": "epoll", "how": how, "batches": p99 if how == "p99" else {part: [1.5] for part in p99}}
             for how in (*latency.TIMES, "answered", latency.CLIENT)]
    table.append({"call": "epoll", "how": "errors", "batches": {part: errors for part in p99}})
    return {"table": table, "about": {"microseconds_of_one": 228.1, "connections": 50, "seed": 7}}


class Latency(unittest.TestCase):
    def test_what_was_never_answered_is_later_than_all_else(self) -> None:
        for values, expected in (([1, 2, 9], 2), ([1, None, 3], 3), ([None, None, 3], None),
                                 ([4], 4), ([4, None], None), ([None], None)):
            self.assertEqual(latency.median(values), expected, values)

    def test_the_file_has_medians_but_every_error(self) -> None:
        found = latency.entry(latencies({"30": [7, 9, 8], "90": [5, None, None]}, [0, 3, 1]))
        lines = {line["how"]: line["batches"] for line in found["lines"]}
        self.assertEqual(lines["p99"], {"30": 8, "90": None})
        self.assertEqual(lines["errors"], {"30": 4, "90": 4})
        self.assertEqual(found["about"]["seed"], 7)

    def test_the_table_has_a_row_for_each_server_and_rate(self) -> None:
        text = "\n".join(latency.lines(latencies({"90": [None], "100": [8]}, [2])))
        self.assertIn("seed 7", text)
        self.assertRegex(text, r"epoll +90 +1\.500 +1\.500 +none +1\.500 +1\.500 +150\.0 +2 +1\.500\n"
                               r"epoll +100 +1\.500 +1\.500 +8 ")

    def test_it_is_in_a_report_if_it_was_measured_and_else_not(self) -> None:
        table = {**latency.entry(latencies({"30": [8], "90": [None]}, [0])), "ground": "here"}
        table["about"]["left_out"] = {"fibers_uring": "no <ring>"}
        one_rate = {**latency.entry(latencies({"50": [8]}, [0])), "ground": "here", "about": table["about"]}
        for server, pictures in (({"latency": table}, {"latency.png"}), ({"latency": one_rate}, {"latency.png"}),
                                 ({"latency_native": table}, {"latency_native.png"}), ({}, set())):
            found = {"made": "today", "command": "./run bench", "quick": False, "machine": {},
                     "results": {"server": server}}
            with tempfile.TemporaryDirectory() as folder:
                text = page.write(found, Path(folder)).read_text()
                self.assertEqual({path.name for path in Path(folder).glob("*.png")}, pictures)
            rates = sum(len(of["lines"][0]["batches"]) for of in server.values())
            self.assertEqual(text.count("<td>epoll</td>"), rates)
            self.assertEqual(text.count("no &lt;ring&gt;"), len(server))

    def test_nothing_is_drawn_of_a_server_that_answered_nothing(self) -> None:
        silent = latencies({"50": [None]}, [9])
        for line in silent["table"]:
            if line["how"] in latency.TIMES:
                line["batches"] = {"50": [None]}
        self.assertIsNone(plots.latency_plot({"latency": latency.entry(silent)}, "latency", "", ""))
        other = [{**line, "call": "threads"} for line in latencies({"50": [8]}, [0])["table"]]
        both = latency.entry({**silent, "table": silent["table"] + other})
        drawn = plots.latency_plot({"latency": both}, "latency", "", "").lines
        self.assertEqual([line.title for line in drawn], ["threads, p99", "threads, p50"])

    def test_a_percentile_that_was_not_reached_is_a_gap_in_its_line(self) -> None:
        table = latency.entry(latencies({"30": [8], "50": [None], "90": [9]}, [0]))
        plot = plots.latency_plot({"latency": table}, "latency", "", "")
        with tempfile.TemporaryDirectory() as folder:
            self.assertIn("30 8\n50 nan\n90 9\n", plots.script(plot, Path("a.png")))
            plots.draw(plot, Path(folder) / "a.png")


class Sides(unittest.TestCase):
    def test_the_report_names_both_sides_with_their_unit(self) -> None:
        figure = {"value": 2, "spread": [2, 2], "pairs": 3, "unit": "ratio", "ground": "here"}
        found = {"switch": {**figure, "sides": [50, 100.25], "side_names": ["FlexSC", "Boost.Fiber <1>"],
                            "side_unit": "ns per yield"}, "parked_bytes": figure}
        self.assertIn("<tr><td>switch</td><td>FlexSC: 50</td><td>Boost.Fiber &lt;1&gt;: 100.2</td>"
                      "<td>ns per yield</td></tr></table>", page.section("runtime", found))
        self.assertNotIn("Both sides", page.section("runtime", {"parked_bytes": figure}))


class Remedies(unittest.TestCase):
    """What would have to change is said of what falls short, and of nothing else."""

    def told(self, **values: float) -> str:
        return page.section("server", {name: {"value": value, "spread": [value, value], "pairs": 5, "unit": "ratio",
                                              "ground": "here"} for name, value in values.items()})

    def test_keys_of_one_reason_stand_together(self) -> None:
        self.assertRegex(self.told(epoll=0.9, esca=0.9, nginx=2.0), r"<dl><dt>epoll, esca</dt><dd>[^<]+</dd></dl>")

    def test_where_all_is_reached_nothing_is_said(self) -> None:
        self.assertNotIn("would have to change", self.told(epoll=1.0, nginx=2.0))


class Misses(unittest.TestCase):
    """Of two regions, each of which runs twice, on the application's CPU and another."""

    REGIONS = [{"how": how, "every": 1000, "steps": 100, "calls": 10} for how in ("no calls", "direct")]

    @staticmethod
    def stop(instructions: int, l1i: int) -> list[dict]:
        return [{"cpu": cpu, "user": {"instructions": instructions * (1 + cpu), "l1i_misses": l1i}}
                for cpu in (1, 0)]

    def test_they_are_held_against_the_instructions_of_the_code_alone(self) -> None:
        stops = [self.stop(9, 9), self.stop(10_000, 5), self.stop(9, 9), self.stop(40_000, 200)]
        table = misses.modelled([({"regions": self.REGIONS}, stops)] * 2)["table"]
        self.assertEqual([(line["call"], line["how"], line["batches"]) for line in table],
                         [("L1i", "no calls", {"1000": [0.5, 0.5]}), ("L1i", "direct", {"1000": [20, 20]})])
        plot = plots.indirect_plot({"indirect": {**tables.entry_of(misses.UNIT)({"table": table})}})
        self.assertEqual([line.points for line in plot.lines], [[(1000, 20)], [(1000, 0.5)]])

    def test_other_marks_than_those_of_the_regions_are_an_error(self) -> None:
        with self.assertRaisesRegex(HarnessError, "stopped 1 times in 2 regions"):
            misses.modelled([({"regions": self.REGIONS}, [self.stop(1, 1)])])


class Plots(unittest.TestCase):
    @staticmethod
    def table(unit: str, lines: dict[tuple[str, str], dict[int, float]]) -> dict:
        return {"unit": unit, "ground": "here", "lines": [
            {"call": call, "how": how, "batches": {str(size): value for size, value in batches.items()}}
            for (call, how), batches in lines.items()]}

    def test_writes_are_held_against_direct_ones_of_the_same_size(self) -> None:
        hows = ("direct", "flush", "one chain", "io_uring, linked", "io_uring")
        lines = {(call, how): {4: 100 + 50 * i, 4096: 200 + 50 * i}
                 for call in ("write, tmpfs", "write, /dev/null") for i, how in enumerate(hows)}
        plot = plots.writes_plot({"writes60": self.table("instructions per call", lines)})
        self.assertEqual(plot.lines[0], plots.Line("flush, tmpfs (instructions)", [(4, 1.5), (4096, 1.25)]))
        self.assertEqual([line.published for line in plot.lines], [False] * 6 + [True])

    def test_workers_are_held_against_one_worker_and_threads_against_one_thread(self) -> None:
        call = "pread of 4096 bytes"
        plot = plots.workers_plot({"workers": self.table("ns per call", {
            (call, "workers"): {1: 600, 2: 300, 3: 400}, (call, "threads, directly"): {1: 300, 2: 150, 3: 100}})})
        self.assertEqual(plot.lines[0].points, [(1, 1), (2, 2), (3, 1.5)])
        self.assertEqual(plot.lines[1].points, [(1, 1), (2, 2), (3, 3)])


class All(unittest.TestCase):
    def test_extras_are_measured_besides_all_keys_and_are_there(self) -> None:
        self.assertEqual(bench_all.keys_of("runtime", ()), [])
        for subject, extras in bench_all.SUBJECTS.items():
            if extras:
                book = page.book_of(subject)
                named = bench_all.keys_of(subject, extras)
                self.assertEqual(named, [*book.keys, *extras])
                self.assertEqual([name for name in named if name not in book], [])


if __name__ == "__main__":
    unittest.main()
