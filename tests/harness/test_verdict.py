# SPDX-License-Identifier: MIT
"""What fails a run, and what does not."""

import unittest

import verdict

START = "[    2.1] flexsc-harness: start\n"


class FailureMarks(unittest.TestCase):
    def test_each_kind_of_kernel_complaint_is_found(self) -> None:
        for line in (
                "BUG: kernel NULL pointer dereference, address: 0000000000000000",
                "kernel BUG at mm/slub.c:435!",
                "WARNING: CPU: 1 PID: 77 at kernel/fork.c:2 x+0x1/0x2 [flexsc]",
                "Oops: 0002 [#1] PREEMPT SMP NOPTI",
                "Kernel panic - not syncing: Fatal exception",
                "general protection fault, probably for non-canonical address 0xdead",
                "WARNING: possible circular locking dependency detected",
                "WARNING: suspicious RCU usage",
                "INFO: lockdep is turned off.",
                "INFO: task flexsc-w:12 blocked for more than 30 seconds.",
                "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
                "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [x:1]",
                "BUG: KASAN: slab-use-after-free in flexsc_claim+0x1/0x2 [flexsc]",
                "UBSAN: array-index-out-of-bounds in flexsc.c:1:2",
                "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
                "refcount_t: underflow; use-after-free.",
                "BUG: sleeping function called from invalid context at x.c:1",
                "BUG flexsc_pool (Not tainted): Objects remaining in flexsc_pool on shutdown",
                "** 12 printk messages dropped **",
        ):
            with self.subTest(line):
                self.assertEqual(verdict.failure_marks(f"{START}[    3.0] {line}\n"),
                                 [f"[    3.0] {line}"])

    def test_ordinary_lines_pass(self) -> None:
        for line in (
                "flexsc: loading out-of-tree module taints kernel.",
                "flexsc: module verification failed: signature and/or required key missing",
                "traps: test[99] general protection fault ip:401136 sp:7ff error:0 in test",
                "test[98]: segfault at 0 ip 0000000000401136 sp 00007ffd error 6 in test",
                "ACPI: PM: Preparing to enter system sleep state S5",
                "reboot: Power down",
        ):
            with self.subTest(line):
                self.assertEqual(verdict.failure_marks(f"{START}[    3.0] {line}\n"), [])

    def test_races_count_where_the_module_has_part_in_them(self) -> None:
        edge = "[ 3.0] " + "=" * 66 + "\n"

        def race(*stacks: str) -> str:
            """Each access with the functions that led to it, the innermost first."""
            lines = ["BUG: KCSAN: data-race in x / y"]
            for stack in stacks:
                lines += ["write to 0xff11000004e634e8 of 4 bytes by task 4 on cpu 0:",
                          *(f" {name}" for name in stack.split())]
            return edge + "".join(f"[ 3.1] {line}\n" for line in lines) + edge

        ours = "flexsc_pool_kick+0x1/0x2[flexsc] x64_sys_call+0x1"
        called = "__list_add+0x1 flexsc_pool_kick+0x1/0x2[flexsc]"
        in_a_call = "pipe_write+0x1 x64_sys_call+0x1 flexsc_client_flush+0x1/0x2[flexsc]"
        core = "do_exit+0x1 x64_sys_call+0x1"
        for stacks, marks in (((ours, core), 1), ((core, ours), 1), ((called, core), 1),
                              ((core, core), 0), ((in_a_call, in_a_call), 0),
                              ((in_a_call, ours), 1)):
            with self.subTest(stacks):
                console = START + race(*stacks) + "other\n"
                self.assertEqual(len(verdict.failure_marks(console)), marks)
        kasan = "[ 3.2] BUG: KASAN: use-after-free in core\n"
        self.assertEqual(verdict.failure_marks(START + race(core) + edge + kasan + edge),
                         [kasan.strip()])

    def test_printing_in_an_interrupt_is_not_ours(self) -> None:
        report = ("[ 8.1] [ BUG: Invalid wait context ]\n[ 8.1] 6.1.192-flexsc-kcsan #1\n[ 8.1] ---\n"
                  "[ 8.1] test/70 is trying to lock:\n[ 8.1] ff6b8 (&{}){{-.-.}}-{{3:3}}, at: {}+0x1\n"
                  "[ 8.1]  ? lockdep_hardirqs_on_prepare+0x420/0x420\n")
        self.assertEqual(verdict.failure_marks(
            START + report.format("port_lock_key", "serial8250_console_write")), [])
        self.assertEqual(len(verdict.failure_marks(
            START + report.format("group->lock", "flexsc_pool_kick"))), 1)

    def test_what_came_before_the_start_is_not_ours(self) -> None:
        self.assertEqual(verdict.failure_marks(f"[ 1.0] WARNING: CPU: 0 at x\n{START}"), [])

    def test_a_console_without_start_has_no_marks(self) -> None:
        self.assertEqual(verdict.failure_marks("Oops: int3: 0000 [#1]\n"), [])


class Report(unittest.TestCase):
    def test_a_complete_run(self) -> None:
        report = verdict.parse_report(
            "boot 6.1.0\nstart\ninsmod 0 \nexit 3\nleft 12(sleep)\nrmmod 0 \nout 0\ndone\n")
        self.assertTrue(report.booted and report.started and report.ended)
        self.assertEqual((report.exit_status, report.out_status, report.left), (3, 0, "12(sleep)"))
        self.assertEqual(report.problems, [])

    def test_module_trouble_is_a_problem(self) -> None:
        report = verdict.parse_report(
            "start\ninsmod 1 insmod: can't insert: unknown symbol\nrmmod 1 rmmod: busy\n"
            "problem threads left after rmmod: flexsc/1\ndone\n")
        self.assertEqual(report.problems, [
            "insmod failed: insmod: can't insert: unknown symbol", "rmmod failed: rmmod: busy",
            "threads left after rmmod: flexsc/1"])

    def test_a_half_written_line_does_no_harm(self) -> None:
        self.assertFalse(verdict.parse_report("boot 6.1.0\nsta").started)

    def test_death_after_the_start_is_a_problem(self) -> None:
        report = verdict.parse_report("boot 6.1\nstart\nexit 0\n")
        self.assertEqual(verdict.judge(report, START, False), ["the guest died before it was done"])


if __name__ == "__main__":
    unittest.main()
