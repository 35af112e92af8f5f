# SPDX-License-Identifier: MIT
"""KVM or emulation. A /dev/kvm that opens may still not boot a guest, so one is booted to see."""

import os
import subprocess
import tempfile
from pathlib import Path

import cpio
import initramfs
import qemu
import verdict
from kernels import Kernel
from paths import BUILD, HarnessError

CHOICES = ("auto", "tcg", "kvm")
PROBE_SECONDS = 10


def boots_under_kvm(kernel: Kernel) -> bool:
    with tempfile.TemporaryDirectory(prefix="flexsc-probe-") as folder:
        files = qemu.Files(Path(folder))
        with open(files.initrd, "wb") as out:
            cpio.write(out, initramfs.base_entries())
            cpio.write(out, initramfs.run_entries(
                initramfs.Payload("true", settings={"probe": "1"})))
        process = qemu.start(qemu.Machine(kernel, accel="kvm"), files)
        try:
            process.wait(PROBE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        report = files.port(1).read_text(errors="replace") if files.port(1).exists() else ""
        return verdict.parse_report(report).ended


def choose(kernel: Kernel, wanted: str) -> str:
    if wanted != "auto":
        return wanted
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    cache = BUILD / "guest/accel"
    if not cache.exists():
        print(f"guest: trying whether a guest boots under KVM (up to {PROBE_SECONDS} s, once; "
              f"the answer is kept in {cache})", flush=True)
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_text("kvm" if boots_under_kvm(kernel) else "tcg")
    choice = cache.read_text()
    if choice not in CHOICES:
        raise HarnessError(f"{cache} is damaged: remove it")
    return choice
