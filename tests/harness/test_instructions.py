# SPDX-License-Identifier: MIT
"""What `./run bench server profile` makes of addresses, without a guest."""

import sys
import unittest

import build
from paths import BUILD, ROOT, HarnessError

sys.path.insert(0, str(ROOT / "bench"))

# pylint: disable=wrong-import-position
import instructions  # noqa: E402
import plots  # noqa: E402

PROGRAM = "flexsc-cache-walk"
SYMBOLS = """\
ffffffff81000000 T startup_64
ffffffff81000100 t tcp_sendmsg_locked.isra.0
ffffffff81000200 T do_syscall_64
ffffffffc0400000 t flexsc_look.part.0\t[flexsc]
ffffffffc0500000 t nf_hook\t[nf_tables]
"""
MAPS = """\
555500000000-555500001000 r--p 00000000 00:02 11      /bin/flexsc-cache-walk
555500001000-555500009000 r-xp 00001000 00:02 11      /bin/flexsc-cache-walk
7f0000000000-7f0000100000 r-xp 00000000 00:02 12      /lib/x86_64-linux-gnu/libc.so.6
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0       [stack]
7ffd00030000-7ffd00032000 r-xp 00000000 00:00 0       [vdso]
"""


def answer(requests: int = 10) -> dict:
    side = {"requests": requests, "maps": MAPS}
    return {"groups": [{"name": "HTTP", "sides": [{"name": "ours", **side}, {"name": "other", **side}]}],
            "symbols": SYMBOLS}


class Names(unittest.TestCase):
    def named(self, address: int) -> tuple[str, str]:
        found = instructions.named({address: 1}, instructions.Process(MAPS),
                                   instructions.kernel_symbols(SYMBOLS))
        (what, _), = found.items()
        return what

    def test_the_kernel_its_crossings_and_its_modules(self) -> None:
        self.assertEqual(self.named(0xffffffff81000150), (instructions.KERNEL, "tcp_sendmsg_locked"))
        self.assertEqual(self.named(0xffffffff81000200), (instructions.CROSSINGS, "do_syscall_64"))
        self.assertEqual(self.named(0xffffffffc0400010), (instructions.MODULE, "flexsc_look"))
        self.assertEqual(self.named(0xffffffffc0500010), (instructions.KERNEL, "nf_hook [nf_tables]"))
        self.assertEqual(self.named(0xffffffff80000000), (instructions.KERNEL, "unknown"))

    def test_a_function_of_ours_has_its_name(self) -> None:
        build.target(PROGRAM)
        place = dict((name, at) for at, name in instructions.read_symbols(BUILD / "bin" / PROGRAM))["main"]
        self.assertEqual(self.named(0x555500000000 + place), (instructions.PROGRAM, "main"))

    def test_a_file_without_symbols_is_one_function(self) -> None:
        self.assertEqual(self.named(0x7f0000000010), (instructions.LIBRARIES, "libc.so.6"))
        self.assertEqual(self.named(0x7ffd00030010), (instructions.LIBRARIES, "[vdso]"))

    def test_what_is_not_of_the_server_is_the_clients(self) -> None:
        self.assertEqual(self.named(0x560000000000), (instructions.CLIENT, instructions.CLIENT))

    def test_names_of_c_plus_plus_lose_their_arguments(self) -> None:
        for name, short in (("flexsc::Carrier::park(flexsc::Fiber*) const", "flexsc::Carrier::park"),
                            ("(anonymous namespace)::look(int) [clone .isra.0]", "look"),
                            ("std::less<int>::operator()(int, int)", "std::less<int>::operator()"),
                            ("main", "main")):
            self.assertEqual(instructions.short(name), short)

    def test_a_process_that_could_not_be_seen_is_an_error(self) -> None:
        with self.assertRaisesRegex(HarnessError, "could not be seen"):
            instructions.Process("")


class Profile(unittest.TestCase):
    def setUp(self) -> None:
        self.result = instructions.profiled([(answer(), [
            {0xffffffff81000150: 4000, 0xffffffff81000160: 1000, 0xffffffffc0400010: 900, 0x560000000000: 100},
            {0xffffffff81000150: 4000, 0xffffffff81000200: 2000, 0x560000000000: 100}])])
        self.group = self.result["groups"][0]

    def test_places_of_one_function_are_added_up_and_told_per_request(self) -> None:
        self.assertEqual(self.group["functions"][0],
                         {"part": instructions.KERNEL, "name": "tcp_sendmsg_locked", "values": [500, 400]})

    def test_parts_hold_all_also_what_is_too_little_to_be_listed(self) -> None:
        self.assertEqual(self.group["parts"][instructions.CLIENT], [10, 10])
        self.assertNotIn(instructions.CLIENT, {function["name"] for function in self.group["functions"]})
        self.assertEqual(instructions.totals(self.group), [600, 610])

    def test_what_costs_more_and_what_less(self) -> None:
        more, less = instructions.differences(self.group, 1)
        self.assertEqual(more, [("tcp_sendmsg_locked", 100), ("flexsc_look", 90)])
        self.assertEqual(less, [("do_syscall_64", -200)])
        self.assertIn("    less: do_syscall_64 -200", instructions.lines(self.result))

    def test_a_server_that_was_not_counted_is_an_error(self) -> None:
        with self.assertRaisesRegex(HarnessError, "1 times for 2 servers"):
            instructions.profiled([(answer(), [{}])])

    def test_the_report_has_a_plot_and_the_functions(self) -> None:
        found = {**instructions.entry(self.result), "ground": "instructions"}
        self.assertIn("<td>module</td><td>flexsc_look</td><td class=n>90</td>", instructions.section(found))
        plot = plots.profile_plot({"profile": found})
        self.assertEqual([stack.layers[instructions.KERNEL] for stack in plot.stacks], [500, 400])


if __name__ == "__main__":
    unittest.main()
