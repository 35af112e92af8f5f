# SPDX-License-Identifier: MIT
"""The fuzzer's harness: which inputs a failed guest had run, and what of the module was reached."""

import contextlib
import io
import tempfile
import unittest
from pathlib import Path

import fuzz
import fuzz_kernel
import module_blocks
import suite

LOG = """\
[kernel] [    2.0] flexsc-harness: start
flexsc-fuzz: input 0a0b
#1	NEW    ft: 2031 corp: 64/13743b
flexsc-fuzz: input
[kernel] [    5.0] BUG: KASAN: use-after-free in flexsc_op_run+0x1/0x2 [flexsc]
flexsc-fuzz: input 0c
flexsc-fuzz: input 0c0
"""

RELOCATIONS = """\

Relocation section '.rela.text' at offset 0x100 contains 3 entries:
    Offset             Info             Type               Symbol's Value  Symbol's Name + Addend
0000000000000011  0000008500000004 R_X86_64_PLT32  0000000000000000 __sanitizer_cov_trace_pc - 4
0000000000000005  0000008500000004 R_X86_64_PLT32  0000000000000000 __sanitizer_cov_trace_pc - 4
0000000000000030  0000008500000004 R_X86_64_PLT32  0000000000000000 kfree - 4
0000000000000041  0000008500000004 R_X86_64_PLT32  0000000000000000 __sanitizer_cov_trace_pc - 4

Relocation section '.rela.init.text' at offset 0x200 contains 1 entry:
    Offset             Info             Type               Symbol's Value  Symbol's Name + Addend
0000000000000007  0000008500000004 R_X86_64_PLT32  0000000000000000 __sanitizer_cov_trace_pc - 4
"""


class LastInputs(unittest.TestCase):
    def test_they_are_those_of_the_log(self) -> None:
        self.assertEqual(fuzz_kernel.last_inputs(LOG), [b"\x0a\x0b", b"", b"\x0c"],
                         "a line that was cut off is none")

    def test_there_are_not_many(self) -> None:
        many = "".join(f"flexsc-fuzz: input {number:02x}\n" for number in range(100))
        inputs = fuzz_kernel.last_inputs(many)
        self.assertEqual(len(inputs), fuzz_kernel.LAST_INPUTS)
        self.assertEqual(inputs[-1], b"\x63")

    def test_they_are_not_shown(self) -> None:
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            for line in LOG.splitlines():
                fuzz_kernel.show(line)
        self.assertNotIn("input", shown.getvalue())
        self.assertIn("KASAN", shown.getvalue())


class ModuleBlocks(unittest.TestCase):
    def test_a_block_is_where_the_call_returns_to(self) -> None:
        self.assertEqual(module_blocks.blocks_of(RELOCATIONS), [9, 0x15, 0x45])

    def test_what_was_not_reached_has_a_name(self) -> None:
        functions = module_blocks.functions_of("0000000000000040 t second\n0000000000000000 t first\n")
        self.assertEqual(functions, [(0, "first"), (0x40, "second")])
        text = module_blocks.describe([9, 0x15, 0x45], functions, {9, 0x15, 99})
        self.assertIn("2 of the 3 blocks", text)
        self.assertIn("second (1)", text)
        self.assertNotIn("first", text)


class Options(unittest.TestCase):
    def refused(self, *arguments: str) -> None:
        with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
            fuzz.parse(list(arguments))

    def test_defaults(self) -> None:
        options = fuzz.parse([])
        self.assertEqual((options.target, options.kernel, options.seconds), ("kernel", "kasan", 300))
        self.assertGreater(options.seed, 0)
        self.assertNotEqual(options.seed, fuzz.parse([]).seed)

    def test_a_part_of_a_minute(self) -> None:
        self.assertEqual(fuzz.parse(["http", "--minutes", "0.5", "--seed", "7"]).seconds, 30)

    def test_what_makes_no_sense(self) -> None:
        self.refused("nonsense")
        self.refused("--minutes", "0")
        self.refused("--replay", "/no/such/file")


class Corpus(unittest.TestCase):
    def test_each_target_has_one_and_it_is_small(self) -> None:
        for target in fuzz.TARGETS:
            sizes = [path.stat().st_size for path in (fuzz.CORPUS / target).iterdir()]
            self.assertTrue(0 < len(sizes) <= 500, f"{target}: {len(sizes)} inputs")
            self.assertLess(sum(sizes), 300 << 10, target)

    def test_the_modules_are_no_longer_than_those_that_are_made(self) -> None:
        for path in (fuzz.CORPUS / fuzz_kernel.NAME).iterdir():
            self.assertLessEqual(path.stat().st_size, fuzz_kernel.MOST_BYTES, path)

    def test_the_guest_suite_runs_it(self) -> None:
        for suites in (suite.SUITES, suite.DEBUG_SUITES):
            self.assertTrue(any(str(fuzz.CORPUS / fuzz_kernel.NAME) == host
                                for each in suites for host, _ in each.host_files))

    def test_what_was_kept_is_where_a_run_begins(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            options = fuzz.parse(["http", "--corpus", f"{folder}/new"])
            fuzz.prepare_corpus(options)
            self.assertEqual({path.name for path in Path(folder, "new").iterdir()},
                             {path.name for path in (fuzz.CORPUS / "http").iterdir()})


if __name__ == "__main__":
    unittest.main()
