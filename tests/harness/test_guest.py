# SPDX-License-Identifier: MIT
"""Real guests, most of them meant to go wrong: the harness must see it, and say it."""

import contextlib
import tempfile
import unittest
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import accel
import boot
import initramfs
import kernels
import kmod
import qemu

# A module that loads and unloads without a word, or with a warning while it is removed.
MODULE = """
#include <linux/module.h>
static bool warn;
module_param(warn, bool, 0444);
static int __init flexsc_init(void) { return 0; }
static void __exit flexsc_exit(void) { WARN_ON(warn); }
module_init(flexsc_init);
module_exit(flexsc_exit);
MODULE_LICENSE("GPL");
"""


class Guests(unittest.TestCase):
    """The guests run side by side, in one kernel; each test looks at its own."""

    @classmethod
    def setUpClass(cls) -> None:
        kernel = next(found for series in reversed(kernels.SERIES)
                      if (found := cls.find(series)) is not None)
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        source = cls.folder / "harness-test-module"
        source.mkdir()
        (source / "Kbuild").write_text("obj-m := flexsc.o\n")
        (source / "flexsc.c").write_text(MODULE)
        module = kmod.build(kernel, source)
        how = accel.choose(kernel, "auto")
        pool = cls.enterClassContext(ThreadPoolExecutor(2))

        def start(name: str, command: str, timeout: float = 60, load: bool = False, args: str = "",
                  append: str = "") -> Future[boot.Outcome]:
            payload = initramfs.Payload(command, module=module if load else None,
                                        files=((source / "Kbuild", "/etc/kbuild"),),
                                        settings={"module_args": args})
            run = boot.Run(f"harness-{name}", qemu.Machine(kernel, accel=how, append=append),
                           payload, timeout, cls.folder / name, quiet=True)
            return pool.submit(boot.boot, run)

        cls.runs = {
            "good": start("good", "cat /etc/kbuild; lsmod | grep -q ^flexsc; mkdir /out/d; "
                          "su nobody -c id > /out/d/id", load=True),
            "status": start("status", "sleep 1000 & exit 7"),
            "panic": start("panic", "echo c > /proc/sysrq-trigger"),
            "slow": start("slow", "echo begun; sleep 1000", timeout=3),
            "warning": start("warning", "true", load=True, args="warn=1"),
            "refused": start("refused", "true", load=True, args="warn=maybe"),
            "unbootable": start("unbootable", "true", append="rdinit=/nothing root=/dev/none"),
        }

    @staticmethod
    def find(series: str) -> kernels.Kernel | None:
        with contextlib.suppress(Exception):
            return kernels.find(series)
        return None

    def outcome(self, name: str) -> boot.Outcome:
        return self.runs[name].result()

    def test_a_content_command_passes_and_leaves_its_files(self) -> None:
        outcome = self.outcome("good")
        self.assertEqual((outcome.status, outcome.problems), (0, []))
        self.assertIn("uid=65534(nobody)", (self.folder / "good/d/id").read_text())
        self.assertIn("obj-m := flexsc.o", outcome.log.read_text())

    def test_the_exit_status_arrives_and_leftovers_are_named(self) -> None:
        outcome = self.outcome("status")
        self.assertEqual((outcome.status, outcome.problems), (7, []))
        self.assertRegex(outcome.left, r"^\d+\(sleep\)")

    def test_a_panic_fails_and_is_not_tried_again(self) -> None:
        outcome = self.outcome("panic")
        self.assertEqual((outcome.status, outcome.attempts), (boot.FAILED, 1))
        self.assertTrue(any("Kernel panic" in problem for problem in outcome.problems))

    def test_the_time_limit_stops_the_guest(self) -> None:
        outcome = self.outcome("slow")
        self.assertEqual((outcome.status, outcome.timed_out), (boot.TIMED_OUT, True))
        self.assertEqual(outcome.problems, ["stopped after 3 s"])
        log = outcome.log.read_text()
        self.assertIn("begun", log)
        self.assertIn("Show Blocked State", log)

    def test_a_warning_while_the_module_goes_fails_a_content_command(self) -> None:
        outcome = self.outcome("warning")
        self.assertEqual((outcome.exit_status, outcome.status), (0, boot.FAILED))
        self.assertTrue(any("WARNING: CPU" in problem for problem in outcome.problems))

    def test_a_module_that_does_not_load_fails_and_the_command_is_not_run(self) -> None:
        outcome = self.outcome("refused")
        self.assertEqual((outcome.exit_status, outcome.status), (None, boot.FAILED))
        self.assertTrue(any(problem.startswith("insmod failed") for problem in outcome.problems))

    def test_a_guest_that_dies_early_is_tried_once_more(self) -> None:
        outcome = self.outcome("unbootable")
        self.assertEqual((outcome.status, outcome.attempts), (boot.FAILED, boot.ATTEMPTS))
        self.assertEqual(outcome.problems, ["the guest did not boot"])


if __name__ == "__main__":
    unittest.main()
