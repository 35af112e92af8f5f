# SPDX-License-Identifier: MIT
"""The harness's small parts, without a guest."""

import io
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import boot
import counts
import cpio
import elf
import guest
import initramfs
import kernels
import lint_kmod
import mutations
import qemu
import suite
from paths import ROOT

KERNEL = kernels.Kernel("6.1.0-1-amd64", Path("/boot/vmlinuz"), Path("/tree"))


class Cpio(unittest.TestCase):
    def test_busybox_reads_what_we_write(self) -> None:
        out = io.BytesIO()
        cpio.write(out, [cpio.file("/a/b/c", b"text", 0o755), cpio.link("/a/l", "b/c"),
                         cpio.directory("/tmp", 0o1777)])
        self.assertEqual(len(out.getvalue()) % 512, 0)
        listed = subprocess.run(["busybox", "cpio", "-t"], input=out.getvalue(),
                                capture_output=True, check=True)
        self.assertEqual(listed.stdout.decode().split(), ["a", "a/b", "a/b/c", "a/l", "tmp"])


class Initramfs(unittest.TestCase):
    def test_a_library_of_several_programs_counts_once(self) -> None:
        shell = Path("/bin/bash").resolve()
        one = initramfs.program_entries({"a": shell})
        two = initramfs.program_entries({"a": shell, "b": shell})
        program = next(entry for entry in one if entry.path.endswith("/a"))
        self.assertEqual(initramfs.size(two) - initramfs.size(one), initramfs.size([program]))


class Kernels(unittest.TestCase):
    def test_newest_release_of_the_series_alone(self) -> None:
        known = ["6.1.0-9-amd64", "6.12.1+deb12-amd64", "6.1.0-56-amd64", "6.1.0-57-rt-amd64",
                 "6.1.0-58-cloud-amd64"]
        self.assertEqual(kernels.releases("6.1", known), ["6.1.0-56-amd64", "6.1.0-9-amd64"])
        self.assertEqual(kernels.releases("6.12", known), ["6.12.1+deb12-amd64"])

    def test_installed_headers_go_before_fetched_ones(self) -> None:
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for name in ("modules/6.1.0-9-amd64/build", "fetched/headers-6.1.0-9-amd64",
                     "fetched/headers-6.12.1-amd64", "modules/6.5.0-amd64"):
            (folder / name).mkdir(parents=True)
            (folder / name / "Makefile").touch()
        self.assertEqual(kernels.trees(folder / "modules", folder / "fetched"),
                         {"6.1.0-9-amd64": folder / "modules/6.1.0-9-amd64/build",
                          "6.12.1-amd64": folder / "fetched/headers-6.12.1-amd64"})


class Qemu(unittest.TestCase):
    def arguments(self, **settings: object) -> str:
        machine = qemu.Machine(KERNEL, **settings)  # type: ignore[arg-type]
        return " ".join(qemu.arguments(machine, qemu.Files(Path("/run"))))

    def test_no_report_of_a_debug_kernel_is_its_last(self) -> None:
        checked = kernels.Kernel("6.1.1-flexsc-kasan", Path("/boot/vmlinuz"), Path("/tree"))
        self.assertIn("kasan_multi_shot", qemu.kernel_line(qemu.Machine(checked)).split())
        self.assertNotIn("kasan", self.arguments())

    def test_emulation_uses_a_thread_per_cpu(self) -> None:
        self.assertIn("-accel tcg,thread=multi -cpu max,-erms,-fsrm -smp 2", self.arguments())

    def test_counting_instructions_uses_one_thread(self) -> None:
        self.assertIn("-accel tcg,thread=single -icount shift=0,sleep=off",
                      self.arguments(icount=True, cpus=1))


class Libraries(unittest.TestCase):
    def test_ldd_output(self) -> None:
        found, missing = elf.parse_ldd(
            "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x1)\n"
            "\tlibx.so => not found\n\t/lib64/ld-linux-x86-64.so.2 (0x2)\n")
        self.assertEqual(found, ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"])
        self.assertEqual(missing, ["libx.so"])


class Command(unittest.TestCase):
    def test_one_argument_is_a_shell_line(self) -> None:
        self.assertEqual(guest.resolve(["echo a > /out/b"]), ("echo a > /out/b", {}))

    def test_several_arguments_are_quoted(self) -> None:
        self.assertEqual(guest.resolve(["echo", "a b", "$x"]), ("echo 'a b' '$x'", {}))

    def test_a_path_of_this_machine_is_taken_along(self) -> None:
        line, programs = guest.resolve(["/usr/bin/env", "A=1"])
        self.assertEqual((line, list(programs)), ("env A=1", ["env"]))


class Counting(unittest.TestCase):
    def write(self, text: str) -> Path:
        path = Path(self.enterContext(tempfile.TemporaryDirectory())) / suite.results_name(0)
        path.write_text(text)
        return path

    def test_junit(self) -> None:
        total = counts.from_junit(self.write(
            '<testsuite><testcase name="a" status="run"/>'
            '<testcase name="b" status="fail"><failure message=""/>'
            '<system-out>[-----] 1 test\nwhy</system-out></testcase>'
            '<testcase name="c" status="notrun">'
            '<skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/></testcase>'
            '<testcase name="d" status="notrun">'
            '<skipped message="Unable to find executable"/></testcase></testsuite>'))
        self.assertEqual(total.line(), "1 passed, 2 failed, 1 skipped")
        self.assertEqual(total.failures, ["b\n    why", "d (did not run: Unable to find executable)"])

    def test_gtest(self) -> None:
        total = counts.from_gtest(self.write(
            '{"testsuites": [{"name": "S", "testsuite": ['
            '{"name": "a", "status": "RUN", "result": "COMPLETED"},'
            '{"name": "b", "status": "RUN", "result": "COMPLETED", "failures": [{"failure": "one\\ntwo"}]},'
            '{"name": "c", "status": "RUN", "result": "SKIPPED"}]}]}'))
        self.assertEqual(total.line(), "1 passed, 1 failed, 1 skipped")
        self.assertEqual(total.failures, ["S.b\n    one\n    two"])

    def outcome(self, status: int | None, *problems: str) -> boot.Outcome:
        return boot.Outcome(status, list(problems), 1.0, Path("log"))

    def test_a_test_program_that_crashed_is_a_failure(self) -> None:
        total = suite.count(suite.Suite("s", ("c",)), KERNEL, self.outcome(139), Path("/nowhere"))
        self.assertEqual((total.passed, total.failed), (0, 1))

    def test_a_kernel_complaint_fails_a_content_program(self) -> None:
        results = self.write('{"testsuites": [{"name": "S", "testsuite": ['
                             '{"name": "a", "status": "RUN", "result": "COMPLETED"}]}]}')
        total = suite.count(suite.Suite("s", ("c",)), KERNEL, self.outcome(0, "the kernel said"),
                            results.parent)
        self.assertEqual((total.passed, total.failed), (1, 1))

    def test_every_command_runs_and_a_failure_of_any_is_the_status(self) -> None:
        line = suite.shell_line(suite.Suite("s", ("exit 3", "echo ran"), gtest=False))
        result = subprocess.run(["busybox", "sh", "-c", line], capture_output=True, check=False)
        self.assertEqual((result.returncode, result.stdout), (3, b"ran\n"))

    def test_no_test_at_all_is_a_failure(self) -> None:
        total = suite.count(suite.Suite("s", ("c",)), KERNEL, self.outcome(0),
                            self.write('{"testsuites": []}').parent)
        self.assertEqual((total.passed, total.failed), (0, 1))


class KernelLint(unittest.TestCase):
    def test_only_complaints_about_our_files_count(self) -> None:
        text = ("/b/kmod/a.c:252:42: warning: dereference of noderef expression\n"
                "/usr/src/linux/x.h:1:2: warning: something\n"
                "WARNING: modpost: missing MODULE_LICENSE() in /b/kmod/flexsc.o\n")
        self.assertEqual(len(lint_kmod.own_complaints(text, Path("/b/kmod"))), 2)


class Mutations(unittest.TestCase):
    def test_the_documented_list_is_that_of_the_patches(self) -> None:
        page = (ROOT / "docs/security.md").read_text().split("## Whether the tests can fail")[1]
        listed = re.findall(r"^(\| `.*)$", page.split("\n## ")[0], re.MULTILINE)
        made = [mutations.read(path) for path in sorted(mutations.PATCHES.glob("*.patch"))]
        self.assertEqual(listed, [f"| `{one.name}` | {one.fault} | `{one.test}` |" for one in made])


if __name__ == "__main__":
    unittest.main()
