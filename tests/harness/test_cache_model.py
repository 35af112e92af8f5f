# SPDX-License-Identifier: MIT
"""The cache model, in a guest with a program of which everything is known."""

import json
import tempfile
import unittest
from pathlib import Path

import boot
import build
import cache_model
import initramfs
import kernels
import qemu
from paths import BUILD, HarnessError

WALK = "flexsc-cache-walk"
LINE = 64


class CacheModel(unittest.TestCase):
    """Each test boots a guest."""

    @classmethod
    def setUpClass(cls) -> None:
        build.target("flexsc-cache-model")
        build.target(WALK)
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.kernel = kernels.select("6.1")[0]

    def walk(self, kib: int, passes: int, calls: int, counts: str = "caches") -> dict:
        """What the CPU that walked has counted."""
        name = f"walk-{kib}"
        results = self.folder / f"{name}.json"
        machine = qemu.Machine(self.kernel, cpus=1, plugin=cache_model.plugin(results, counts))
        payload = initramfs.Payload(f"{WALK} {kib} {passes} {calls}", {WALK: BUILD / "bin" / WALK})
        outcome = boot.boot(boot.Run(name, machine, payload, 60, self.folder / name, quiet=True))
        self.assertEqual((outcome.status, outcome.problems), (0, []))
        if counts == "caches":
            self.assertIn("L1d", cache_model.table(results))
        return cache_model.read(results)[0]

    def test_what_does_not_fit_is_fetched_again_in_every_pass(self) -> None:
        counted = self.walk(256, 100, 500)
        lines = 256 * 1024 // LINE
        self.assertGreaterEqual(counted["user"]["l1d_misses"], 100 * lines)
        self.assertLess(counted["user"]["l1d_misses"], 101 * lines)
        self.assertGreaterEqual(counted["user"]["l2_misses"], lines)
        self.assertLess(counted["user"]["l2_misses"], 2 * lines)
        self.assertGreaterEqual(counted["system_calls"], 500)
        self.assertLess(counted["system_calls"], 600)
        self.assertGreaterEqual(counted["kernel_entries"], 500)

    def test_what_fits_stays(self) -> None:
        counted = self.walk(16, 1000, 0)
        lines = 16 * 1024 // LINE
        self.assertGreaterEqual(counted["user"]["loads_and_stores"], 1000 * lines)
        self.assertLess(counted["user"]["l1d_misses"], 20 * lines)
        self.assertLess(counted["user"]["l1i_misses"], 1000)

    def test_without_caches_the_rest_is_counted(self) -> None:
        counted = self.walk(32, 100, 500, "instructions")
        loads = 100 * 32 * 1024 // LINE
        self.assertEqual(set(counted["user"]), {"instructions"})
        self.assertGreater(counted["user"]["instructions"], loads)
        self.assertLess(counted["user"]["instructions"], 10 * loads)
        self.assertGreaterEqual(counted["system_calls"], 500)


    def test_where_instructions_were_executed(self) -> None:
        counted = self.walk(32, 100, 500, "functions")
        (places,) = cache_model.places(self.folder / "walk-32.json")
        for side in cache_model.SIDES:
            self.assertEqual(sum(count for address, count in places.items()
                                 if (address >> 63) == (side == "kernel")), counted[side]["instructions"])


class Results(unittest.TestCase):
    def test_what_was_counted_between_marks(self) -> None:
        def stop(cpus: dict[int, int]) -> list[dict]:
            return [{"cpu": cpu, "system_calls": count, "user": {"l1i_misses": 2 * count}}
                    for cpu, count in cpus.items()]
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder) / "counts.json"
            # The second CPU does something only after the first stop.
            stops = [stop({0: 5}), stop({0: 7, 1: 4}), stop({0: 7, 1: 5})]
            results.write_text(json.dumps({"cpus": stops[-1], "stops": stops}))
            self.assertEqual(cache_model.between_stops(results),
                             [stop({0: 5}), stop({0: 2, 1: 4}), stop({0: 0, 1: 1})])

    def test_nothing_counted_is_an_error_and_no_empty_table(self) -> None:
        with self.assertRaisesRegex(HarnessError, "both marks"):
            cache_model.read(Path("/nonexistent/counts.json"))

    def test_a_table_has_a_line_per_side_of_each_cpu(self) -> None:
        side = {name: 7 for name in cache_model.COLUMNS}
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder) / "counts.json"
            results.write_text(json.dumps({"cpus": [
                {"cpu": 3, "kernel_entries": 5, "system_calls": 4, "user": side, "kernel": side}]}))
            lines = cache_model.table(results).splitlines()
        self.assertRegex(lines[2], r"^  3 user +7 ")
        self.assertRegex(lines[3], r"^  3 kernel +7 ")
        self.assertIn("kernel: 5, of which system calls: 4", lines[4])


if __name__ == "__main__":
    unittest.main()
