# SPDX-License-Identifier: MIT
"""
`./run mutations [PATTERN]`: whether the tests can fail. Each patch of tests/mutations/ puts one fault
into the module; the test that it names must fail on the kernel it is run on, and pass without it.
"""

import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import accel
import boot
import build
import counts
import initramfs
import kernels
import kmod
import qemu
from paths import BUILD, ROOT, HarnessError

PATCHES = ROOT / "tests/mutations"
SERIES = "6.1"
# A fault may make the test wait for what never comes; each wait ends after a minute.
SECONDS = 200


@dataclass(frozen=True)
class Mutation:
    path: Path
    fault: str
    test: str

    @property
    def name(self) -> str:
        return self.path.stem


def read(path: Path) -> Mutation:
    text = path.read_text()
    fields = dict(re.findall(r"^(Fault|Test): (.+)$", text, re.MULTILINE))
    if set(fields) != {"Fault", "Test"}:
        raise HarnessError(f"{path} does not say its Fault and its Test")
    return Mutation(path, fields["Fault"], fields["Test"])


def mutated(mutation: Mutation) -> Path:
    """The module's sources with the fault; a patch that does not fit any more is an error."""
    folder = BUILD / "mutations" / mutation.name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(kmod.SOURCE, folder / "kmod")
    result = subprocess.run(["patch", "-p1", "--fuzz=0", "-i", str(mutation.path)], cwd=folder,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            check=False)
    if result.returncode:
        raise HarnessError(f"{mutation.path.name} does not fit any more:\n{result.stdout}")
    renamed = folder / mutation.name
    (folder / "kmod").rename(renamed)
    return renamed


def run_test(kernel: kernels.Kernel, name: str, source: Path, tests: str) -> boot.Outcome:
    machine = qemu.Machine(kernel, 2, kernel.memory, accel=accel.choose(kernel, "auto"))
    line = f"flexsc-guest-tests --gtest_filter='{tests}' --gtest_fail_fast"
    payload = initramfs.Payload(line, module=kmod.build(kernel, source))
    return boot.boot(boot.Run(f"mutation-{name}", machine, payload, SECONDS, quiet=True))


def check(kernel: kernels.Kernel, mutation: Mutation) -> str:
    """What is wrong, or nothing."""
    outcome = run_test(kernel, mutation.name, mutated(mutation), mutation.test)
    if not outcome.started:
        return "the guest did not boot"
    # A test that is not there passes too.
    return "" if outcome.status else f"{mutation.test} passes although {mutation.fault}"


def run(pattern: str = "") -> counts.Counts:
    total = counts.Counts()
    kernel = kernels.find(SERIES)
    mutations = [read(path) for path in sorted(PATCHES.glob("*.patch")) if pattern in path.name]
    if not mutations:
        raise HarnessError(f"no patch in {PATCHES} is named like {pattern}")
    tests = ":".join(sorted({mutation.test for mutation in mutations}))
    control = run_test(kernel, "none", kmod.SOURCE, tests)
    if control.status:
        raise HarnessError(f"{tests} fail without any mutation: {control.problems}, {control.log}")
    for mutation in mutations:
        begun = time.monotonic()
        try:
            problem = check(kernel, mutation)
        except HarnessError as error:
            problem = str(error)
        verdict = f"FAILED: {problem}" if problem else "is found"
        print(f"{mutation.name}: {verdict} ({time.monotonic() - begun:.0f} s)", flush=True)
        if problem:
            total.fail(f"mutation {mutation.name}: {problem}")
        else:
            total.passed += 1
    return total


def main(arguments: list[str]) -> int:
    build.target("flexsc-guest-tests")
    total = run(arguments[0] if arguments else "")
    print(total.line())
    return 1 if total.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HarnessError as error:
        sys.exit(f"error: {error}")
