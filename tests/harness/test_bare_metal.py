# SPDX-License-Identifier: MIT
"""
`./run bench --bare-metal`, up to the loading on machines that are folders, with commands that only write
down that they were called; and from there on in a guest, into whose kernel it loads the module.
"""

import io
import json
import os
import signal
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from paths import ROOT, HarnessError

sys.path[:0] = [str(ROOT / "bench")]

# pylint: disable=wrong-import-position
import all as bench_all  # noqa: E402
import bare_metal  # noqa: E402
import boot  # noqa: E402
import build  # noqa: E402
import guest_run  # noqa: E402
import guests  # noqa: E402
import initramfs  # noqa: E402
import kernels  # noqa: E402
import kmod  # noqa: E402
import page  # noqa: E402
import plots  # noqa: E402
import qemu  # noqa: E402
import real_machine  # noqa: E402
import wording  # noqa: E402
from real_machine import Host  # noqa: E402

RELEASE = "6.1.0-56-amd64"
CPU = "sys/devices/system/cpu"
GOOD = {
    "proc/sys/kernel/osrelease": RELEASE, "proc/modules": "", "proc/sys/kernel/modules_disabled": "0",
    "proc/self/status": "CapEff:\t000001ffffffffff\nCpus_allowed_list:\t0-7",
    "proc/cpuinfo": "model name\t: A processor\nflags\t\t: fpu sse", "proc/meminfo": "MemTotal: 8 kB",
    "proc/cmdline": "quiet", "proc/stat": "cpu 10 0 10 1000 0 0 0 0 0 0",
    f"lib/modules/{RELEASE}/build/Makefile": "", f"{CPU}/online": "0-7", f"{CPU}/isolated": "",
    f"{CPU}/smt/active": "1", f"{CPU}/intel_pstate/no_turbo": "1",
    f"{CPU}/vulnerabilities/meltdown": "Mitigation: PTI", f"{CPU}/vulnerabilities/mds": "Not affected",
    "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc",
    **{f"{CPU}/cpu{cpu}/topology/thread_siblings_list": f"{cpu % 4},{cpu % 4 + 4}" for cpu in range(8)},
    **{f"{CPU}/cpu{cpu}/cache/index3/shared_cpu_list": "0-7" for cpu in range(8)},
    **{f"{CPU}/cpu{cpu}/cpufreq/scaling_governor": "performance" for cpu in range(8)},
}


class Faked(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.out = self.enterContext(redirect_stdout(io.StringIO()))

    def host(self, **changed: str | None) -> Host:
        """A good machine but for some files; None: not there. Names have __ for each /."""
        root = self.folder / "root"
        for name, text in {**GOOD, **{key.replace("__", "/"): text for key, text in changed.items()}}.items():
            if text is not None:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(f"{text}\n")
        return Host(root)

    def commands(self, **bodies: str) -> Path:
        """Commands in front of the PATH, each of which writes itself down in the file that is returned."""
        folder, log = self.folder / "bin", self.folder / "log"
        folder.mkdir()
        log.touch()
        for name, body in bodies.items():
            (folder / name).write_text(f"#!/bin/sh\necho {name} $* >> {log}\n{body}\n")
            (folder / name).chmod(0o755)
        self.enterContext(mock.patch.dict(os.environ, {"PATH": f"{folder}:{os.environ['PATH']}"}))
        return log


class Machine(Faked):
    def troubles(self, host: Host, user: int = 0) -> dict[str, str]:
        checks = [*real_machine.may_load(host, user), *real_machine.quiet(host, lambda _: None)]
        return {check.name: check.advice for check in checks if check.advice}

    def fatal(self, user: int = 0, **changed: str | None) -> list[str]:
        host = self.host(**changed)
        checks = [*real_machine.may_load(host, user), *real_machine.quiet(host, lambda _: None)]
        return [check.name for check in checks if check.fatal]

    def test_a_good_one_has_no_troubles(self) -> None:
        self.assertEqual(self.troubles(self.host()), {})

    def test_what_it_is_like_is_recorded(self) -> None:
        facts = self.host().facts()
        self.assertEqual((facts["processor"], facts["kernel"], facts["measured on CPUs"], facts["governor"],
                          facts["turbo"], facts["hyper-threads"], facts["mitigations"]),
                         ("A processor", RELEASE, "0,1,2,3", "performance", "off", "on",
                          "meltdown: Mitigation: PTI"))

    def test_who_is_not_root_is_refused(self) -> None:
        self.assertEqual(self.fatal(user=1000), ["user"])

    def test_another_kernel_is_refused(self) -> None:
        for release in ("6.18.44", "6.10.1-amd64", "5.10.0-30-amd64"):
            self.assertIn("kernel", self.fatal(proc__sys__kernel__osrelease=release), release)

    def test_no_headers_are_told_with_the_package(self) -> None:
        self.assertEqual(self.troubles(self.host(**{f"lib__modules__{RELEASE}__build__Makefile": None})),
                         {"headers": f"apt install linux-headers-{RELEASE}"})

    def test_where_no_module_can_be_loaded(self) -> None:
        for changed in ({"proc__modules": None}, {"proc__sys__kernel__modules_disabled": "1"},
                        {"proc__self__status": "CapEff:\t00000000a80425fb\nCpus_allowed_list: 0-7"}):
            with tempfile.TemporaryDirectory() as folder:
                self.folder = Path(folder)
                self.assertEqual(self.fatal(**changed), ["modules"], changed)

    def test_a_module_of_somebody_else_stays(self) -> None:
        self.assertEqual(self.fatal(sys__module__flexsc__refcnt="0"), ["flexsc"])

    def test_two_cores_are_too_few_however_many_threads_they_have(self) -> None:
        self.assertEqual(self.fatal(proc__self__status="CapEff:\t000001ffffffffff\nCpus_allowed_list:\t0-1,4-5"),
                         ["CPUs"])

    def test_siblings_and_isolated_cpus_are_not_chosen(self) -> None:
        self.assertEqual(self.host(**{f"{CPU.replace('/', '__')}__isolated": "2"}).chosen(), [0, 1, 3, 6])
        self.assertEqual(self.host(**{f"{CPU.replace('/', '__')}__isolated": "2,6"}).chosen(), [0, 1, 3])

    def test_cpus_of_one_cache_and_not_the_first_where_there_are_others(self) -> None:
        changed = {f"{CPU}/cpu{cpu}/topology/thread_siblings_list": str(cpu) for cpu in range(8)}
        changed |= {f"{CPU}/cpu{cpu}/cache/index3/shared_cpu_list": "0-2" if cpu < 3 else "3-7"
                    for cpu in range(8)}
        host = self.host(**{name.replace("/", "__"): text for name, text in changed.items()})
        self.assertEqual(host.chosen(), [3, 4, 5, 6])
        alone = {name: "0-7" if "index3" in name else text for name, text in changed.items()}
        host = self.host(**{name.replace("/", "__"): text for name, text in alone.items()})
        self.assertEqual(host.chosen(), [1, 2, 3, 4])

    def test_what_else_runs_is_seen(self) -> None:
        host = self.host()
        later = self.folder / "root/proc/stat"
        checks = real_machine.quiet(host, lambda _: (later.write_text("cpu 60 0 10 1050 0 0 0 0 0 0"), None)[1])
        self.assertEqual([check.found for check in checks if check.name == "in use"], ["4.00 CPUs"])

    def test_what_would_disturb_is_told_but_refuses_nothing(self) -> None:
        changed = {f"{CPU}/cpu0/cpufreq/scaling_governor": "powersave",
                   "sys/kernel/security/lockdown": "none [integrity] confidentiality",
                   "proc/cpuinfo": "flags : fpu hypervisor",
                   "sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet"}
        host = self.host(**{name.replace("/", "__"): text for name, text in changed.items()})
        self.assertEqual(set(self.troubles(host)), {"governor", "lockdown", "machine", "clock"})
        self.assertEqual(self.fatal(), [])


class Question(Faked):
    def ask(self, answer: str | None, yes: bool = False) -> None:
        stdin = io.StringIO(answer or "")
        stdin.isatty = lambda: answer is not None
        with mock.patch("sys.stdin", stdin):
            bare_metal.confirm(Path("/a/flexsc.ko"), RELEASE, [1, 2, 3], yes)

    def test_it_says_what_it_will_do_and_goes_on_after_yes(self) -> None:
        self.ask("yes\n")
        for word in ("/a/flexsc.ko", RELEASE, "CPUs 1,2,3", "crash"):
            self.assertIn(word, self.out.getvalue())

    def test_anything_else_is_no(self) -> None:
        for answer in ("no\n", "y\n", "\n", ""):
            with self.assertRaisesRegex(HarnessError, "nothing was loaded: the answer was not yes"):
                self.ask(answer)

    def test_without_a_terminal_it_wants_an_option(self) -> None:
        with self.assertRaisesRegex(HarnessError, "no terminal.*--yes"):
            self.ask(None)
        self.ask(None, yes=True)

    def test_a_machine_that_is_refused_is_not_asked_about(self) -> None:
        log = self.commands(insmod="")
        host = self.host(proc__sys__kernel__osrelease="6.18.1")
        with self.assertRaisesRegex(HarnessError, "(?s)cannot be measured on.*Debian's kernels 6.1 and 6.12.*measures in guests"):
            with bare_metal.site(True, True, host):
                self.fail("it went on")
        self.assertEqual(log.read_text(), "")


class Loading(Faked):
    MODULE = Path("/a/flexsc.ko")

    @contextmanager
    def loaded(self) -> Iterator[None]:
        device = self.folder / "device"
        device.touch()
        with bare_metal.loaded(self.MODULE, device):
            yield

    def test_it_is_loaded_and_removed(self) -> None:
        log = self.commands(insmod="", rmmod="")
        with self.loaded():
            self.assertEqual(log.read_text(), "insmod /a/flexsc.ko\n")
        self.assertEqual(log.read_text(), "insmod /a/flexsc.ko\nrmmod flexsc\n")

    def test_it_is_removed_after_a_failure(self) -> None:
        log = self.commands(insmod="", rmmod="")
        with self.assertRaises(HarnessError), self.loaded():
            raise HarnessError("something")
        self.assertIn("rmmod", log.read_text())

    def test_it_is_removed_after_a_signal_even_if_there_is_another(self) -> None:
        # The second one comes while it is removed.
        log = self.commands(insmod="", rmmod=f"kill -INT {os.getpid()}")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            before = signal.getsignal(number)
            log.write_text("")
            with self.assertRaises(SystemExit) as ended, self.loaded():
                os.kill(os.getpid(), number)
                while True:  # the handler runs before the next step or the one after it
                    pass
            self.assertEqual(ended.exception.code, 128 + number)
            self.assertEqual(log.read_text(), "insmod /a/flexsc.ko\nrmmod flexsc\n")
            self.assertEqual(signal.getsignal(number), before)

    def test_a_signal_while_it_is_loaded_waits_and_removes_it(self) -> None:
        log = self.commands(insmod=f"kill -TERM {os.getpid()}", rmmod="")
        with self.assertRaises(SystemExit), self.loaded():
            self.fail("it went on")
        self.assertEqual(log.read_text(), "insmod /a/flexsc.ko\nrmmod flexsc\n")

    def test_why_it_was_not_loaded_and_what_to_do(self) -> None:
        for said, advice in (("Key was rejected by service", "sign it"),
                             ("Operation not permitted", "on the machine itself"),
                             ("Invalid module format", "built for another kernel"),
                             ("Unknown symbol in module", "dmesg")):
            with tempfile.TemporaryDirectory() as folder:
                self.folder = Path(folder)
                log = self.commands(insmod=f"echo 'insmod: ERROR: {said}' >&2; exit 1", rmmod="")
                with self.assertRaisesRegex(HarnessError, f"(?s){said}.*{advice}"), self.loaded():
                    self.fail("it went on")
                self.assertNotIn("rmmod", log.read_text())

    def test_without_a_device_it_is_removed(self) -> None:
        log = self.commands(insmod="", rmmod="")
        with mock.patch.object(bare_metal, "APPEAR_SECONDS", 0), \
                self.assertRaisesRegex(HarnessError, "did not appear"), \
                bare_metal.loaded(self.MODULE, self.folder / "no device"):
            self.fail("it went on")
        self.assertIn("rmmod", log.read_text())

    def test_it_is_told_loudly_if_it_stays(self) -> None:
        self.commands(insmod="", rmmod="echo 'Module flexsc is in use' >&2; exit 1")
        with mock.patch.object(bare_metal, "UNLOAD_SECONDS", 0), \
                self.assertRaisesRegex(HarnessError, "STILL LOADED: Module flexsc is in use.*fuser"), self.loaded():
            pass

    def test_it_is_tried_again_until_nobody_has_it_open(self) -> None:
        second = self.folder / "second"
        self.commands(insmod="", rmmod=f"test -e {second} && exit 0; touch {second}; exit 1")
        with self.loaded():
            pass
        self.assertIn("was removed", self.out.getvalue())


class WithSite(Faked):
    book = page.book_of("kernel")

    def site(self, cpus: list[int], program: str = "") -> bare_metal.Site:
        folder = self.folder / "programs"
        folder.mkdir()
        (folder / "flexsc-bench-kernel").write_text(f"#!/bin/sh\n{program}\n")
        (folder / "flexsc-bench-kernel").chmod(0o755)
        return bare_metal.Site(self.host(), cpus, True, folder)

    def first_cpu(self) -> list[int]:
        return sorted(os.sched_getaffinity(0))[:1]


class Samples(WithSite):
    def test_what_cannot_be_measured_is_told_with_the_reason(self) -> None:
        site = self.site([1, 2, 3])
        server = page.book_of("server")
        self.assertEqual(site.possible(server, ["epoll", "spread", "pollution"]), ["epoll"])
        self.assertEqual(site.left_out, {"server spread": "it needs 4 CPUs, there are 3",
                                         "server pollution": "the emulator counts it, in a guest"})

    def test_the_processor_counts_what_the_cache_model_counts_in_guests(self) -> None:
        region = {"every": 1000, "steps": 100, "calls": 10}
        counted = [{**region, "how": how, "counters": {"instructions": count, "l1i_misses": misses}}
                   for how, count, misses in (("no calls", 10_000, 5), ("direct", 11_000, 200))]
        for regions, lines, reason in (
                (counted, {("L1i", "no calls"): {"1000": [0.5]}, ("L1i", "direct"): {"1000": [20]}}, None),
                ([{**region, "how": "direct", "no_counters": {"instructions": "Not found"}}], {},
                 "the processor's counters cannot be had (instructions: Not found)")):
            with tempfile.TemporaryDirectory() as folder:
                self.folder = Path(folder)
                text = json.dumps({"results": {"indirect": {"regions": regions}}, "errors": {}})
                site = self.site((self.first_cpu() * 2)[:2], f"echo '{text}' > $3")
                samples = site.measure(self.book, ["indirect"])
                found = {(line["call"], line["how"]): line["batches"]
                         for result in samples[0].results.values() for line in result["table"]}
                self.assertEqual((found, samples[0].errors), (lines, {}))
                self.assertEqual(site.left_out.get("kernel indirect"), reason)

    def test_a_program_gets_as_many_cpus_as_the_guest_would_have(self) -> None:
        site = self.site([1, 5, 6])
        self.assertEqual(site.words("program", 2, "/f", ["a", "b"]),
                         ["taskset", "-c", "1,5", "program", "--quick", "--json", "/f", "a", "b"])

    def test_samples_become_figures_in_time(self) -> None:
        text = json.dumps({"results": {"post_reap": {"values": [30, 31, 32]}}, "errors": {"flush64": "it broke"}})
        site = self.site(self.first_cpu(), f"echo progress post_reap 0.00; echo '{text}' > $3")
        samples = site.measure(self.book, ["post_reap", "flush64", "flush1024"])
        self.assertEqual(samples[0].errors, {"flush64": "it broke", "flush1024":
                                             "no samples: the program ended with status 0 in post_reap"})
        self.assertEqual(bare_metal.entries(self.book, samples), {"post_reap": {
            "value": 31, "spread": [30.5, 31.5], "pairs": 3, "unit": "ns",
            "what": "time to post and reap one call of 64",
            "ground": f"bare metal, wall clock, Linux {RELEASE}"}})

    def test_what_a_program_leaves_running_is_ended(self) -> None:
        pid = self.folder / "pid"
        site = self.site(self.first_cpu(), f"sleep 1000 > /dev/null 2>&1 & echo $! > {pid}; exit 3")
        samples = site.measure(self.book, ["flush64"])
        self.assertEqual(samples[0].errors, {"flush64": "no samples: the program ended with status 3"})
        process = Path(f"/proc/{pid.read_text().strip()}")
        end = time.monotonic() + 20
        while self.lives(process) and time.monotonic() < end:
            time.sleep(0.01)  # it was killed, and needs a CPU to die
        self.assertFalse(self.lives(process))

    @staticmethod
    def lives(process: Path) -> bool:
        try:
            state = (process / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state != "Z"  # dead, and not yet waited for by whoever inherited it

    def test_one_that_does_not_end_is_ended(self) -> None:
        one = guests.Boot(guests.NATIVE, "program", ())
        guest = guest_run.Progress(self.book, [one]).guest(one)
        words = ["sh", "-c", "sleep 1000 & wait"]
        self.assertIn("time limit", guest_run.run_here(words, 0.1, guest))
        self.assertFalse([thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)])

    def test_the_report_speaks_of_time(self) -> None:
        figure = {"value": 0.5, "spread": [0.5, 0.5], "pairs": 3, "ground": "bare metal, wall clock"}
        results = {"kernel": {"post_reap": {**figure, "unit": "ns", "what": "time to post"}},
                   "server": {"epoll": {**figure, "unit": "ratio", "what": "requests per second"}}}
        text = page.write({"made": "today", "command": "./run bench --bare-metal", "quick": False,
                           "machine": {"CPUs": "8"}, "results": results,
                           "left_out": {"server pollution": "it is counted in a guest"}},
                          self.folder).read_text()
        self.assertIn("<li>server pollution: it is counted in a guest</li>", text)
        self.assertRegex(text, r"<td class=\"\">time to post</td>.*<td class=\"open\">ns</td>")
        self.assertNotIn("nstructions", text)

    def test_no_plot_speaks_of_instructions(self) -> None:
        found = json.loads((ROOT / "docs/results/results.json").read_text())["results"]
        for subject in found.values():
            for each in subject.values():
                each["ground"] = "bare metal"
        for plot in plots.all_plots(found):
            words = " ".join([plot.title, plot.y, plot.x, plot.caption, *(line.title for line in plot.lines)])
            self.assertNotIn("1000 ns", words, plot.name)
            self.assertNotIn("nstruction", wording.STAYS.sub("", words), plot.name)
        self.assertFalse(wording.is_bare_metal({"kernel": {"flush64": {"ground": "instructions (icount)"}}}))


class All(WithSite):
    """`./run bench --bare-metal` from the loaded module to the report."""

    def run_all(self, program: str) -> tuple[int, dict]:
        site = self.site(self.first_cpu(), program)

        @contextmanager
        def loaded(quick: bool, yes: bool) -> Iterator[bare_metal.Site]:
            self.assertEqual((quick, yes), (True, True))
            yield site

        with mock.patch.object(bare_metal, "site", loaded), \
                mock.patch.object(bench_all, "SUBJECTS", {"kernel": ("indirect",)}):
            status = bench_all.main(["--bare-metal", "--yes", "--quick", "--out", str(self.folder / "out")])
        self.assertTrue((self.folder / "out/report.html").exists())
        return status, json.loads((self.folder / "out/results.json").read_text())

    def test_a_report_of_the_machine_itself(self) -> None:
        keys = {name: {"pairs": [[1, 2]]} for name in self.book.keys}
        keys["post_reap"] = keys["parked"] = {"values": [1]}
        for name in ("breakeven_flush", "breakeven_wait"):
            keys[name] = {"batches": {"1": [[1, 2]]}}
        text = json.dumps({"results": keys, "errors": {}})
        # One CPU is not enough for all of them, and of the server's program there is none.
        status, found = self.run_all(f"echo '{text}' > $3")
        self.assertEqual(status, 1)
        self.assertEqual(found["results"]["kernel"]["flush64"]["ground"], f"bare metal, wall clock, Linux {RELEASE}")
        self.assertEqual((found["machine"]["turbo"], found["quick"]), ("off", True))
        self.assertEqual(found["left_out"]["kernel indirect"], "it needs 2 CPUs, there are 1")
        self.assertNotIn("instruction", self.out.getvalue())

    def test_what_the_kernel_complains_of_meanwhile_is_a_failure(self) -> None:
        tainted = self.folder / "root/proc/sys/kernel/tainted"
        status, _ = self.run_all(f"echo 512 > {tainted}; exit 1")
        self.assertEqual(status, 1)
        self.assertIn("the kernel has complained", self.out.getvalue())

    def test_yes_is_for_bare_metal_alone(self) -> None:
        with redirect_stderr(io.StringIO()), self.assertRaises(SystemExit):
            bench_all.main(["--yes"])


class Guest(unittest.TestCase):
    """A machine that is none of ours: the module is loaded, measured, and removed, as on a real one."""

    KEYS = {"kernel": ["flush64", "post_reap", "table", "single_other", "workers2", "indirect"],
            "server": ["small_files"]}
    # What has no place in a guest are the compiler and a machine of which it has some CPUs only.
    SCRIPT = """
import json, sys
from pathlib import Path
sys.path[:0] = ["/flexsc/bench", "/flexsc/tests/harness"]
import bare_metal, page
bare_metal.kmod.build = lambda kernel: Path("/flexsc.ko")
bare_metal.Host.chosen = lambda self: [1, 2, 3]
there = Path("/sys/module/flexsc")
found = {"before": there.exists()}
with bare_metal.site(quick=True, yes=True) as site:
    found["meanwhile"] = there.exists()
    for subject, names in KEYS.items():
        samples = site.measure(page.book_of(subject), names)
        found[subject] = [name for each in samples for name in each.results]
        found[subject + " errors"] = [[each.errors, each.problems] for each in samples]
found |= {"afterwards": there.exists(), "left out": site.left_out, "ground": site.ground}
Path("/out/found.json").write_text(json.dumps(found))
"""

    def payload(self, kernel: kernels.Kernel, script: Path) -> initramfs.Payload:
        library = str(Path(os.__file__).parent)
        found = {getattr(module, "__file__", None) or "" for module in sys.modules.values()}
        python = [(Path(file), file) for file in sorted(found) if file.startswith(library)]  # what is needed here
        script.write_text(f"KEYS = {self.KEYS!r}\n{self.SCRIPT}")
        makefile = script.with_name("Makefile")  # by which it is seen that there are headers
        makefile.touch()
        return initramfs.Payload(
            "FLEXSC_BUILD_DIR=/usr/local python3 /script.py", programs={"python3": Path(sys.executable)},
            files=(*python, (ROOT / "bench", "/flexsc/bench"), (ROOT / "tests/harness", "/flexsc/tests/harness"),
                   (kmod.build(kernel), "/flexsc.ko"), (script, "/script.py"),
                   (makefile, f"/lib/modules/{kernel.release}/build/Makefile")))

    def test_the_module_is_loaded_and_measured_and_removed(self) -> None:
        kernel = kernels.select("6.1")[0]
        for program in ("flexsc-bench-kernel", "flexsc-bench-server"):
            build.target(program)
        with tempfile.TemporaryDirectory() as folder:
            payload = self.payload(kernel, Path(folder) / "script.py")
            run = boot.Run("harness-bare-metal", qemu.Machine(kernel, 4), payload, 600, Path(folder), quiet=True)
            outcome = boot.boot(run)
            self.assertEqual((outcome.status, outcome.problems), (0, []), outcome.log)
            found = json.loads((Path(folder) / "found.json").read_text())
        self.assertEqual([found[when] for when in ("before", "meanwhile", "afterwards")], [False, True, False])
        for subject, names in self.KEYS.items():
            # An emulated processor has no counters.
            wanted = [name for name in names if f"{subject} {name}" not in found["left out"]]
            self.assertEqual(sorted(found[subject]), sorted(wanted))
            self.assertTrue(all(each == [{}, []] for each in found[f"{subject} errors"]), found)
        self.assertEqual(set(found["left out"]), {"kernel indirect"})
        self.assertEqual(found["ground"], f"bare metal, wall clock, Linux {kernel.release}")


if __name__ == "__main__":
    unittest.main()
