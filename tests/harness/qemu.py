# SPDX-License-Identifier: MIT
"""The emulator: its command line, and the questions one can ask it while it runs."""

import json
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from kernels import Kernel
from paths import HarnessError

PROGRAM = "qemu-system-x86_64"
# Without erms and fsrm the kernel does not copy with `rep movsb`, of which an emulated CPU counts
# (and executes) every byte as an instruction.
CPU = {"tcg": "max,-erms,-fsrm", "kvm": "host"}
# Four ports with an interrupt each: the two upper ones would share by default, and shared edges of
# emulated UARTs get lost.
PORT_IRQS = (4, 3, 5, 7)


@dataclass(frozen=True)
class Machine:
    kernel: Kernel
    cpus: int = 2
    memory: int = 1024  # MiB
    icount: bool = False
    accel: str = "tcg"
    append: str = ""
    plugin: str = ""  # of the emulator, with its arguments


@dataclass(frozen=True)
class Files:
    """The run's own directory: what the guest reads and writes."""

    folder: Path

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd"

    @property
    def control(self) -> Path:
        return self.folder / "qmp"

    def port(self, number: int) -> Path:
        return self.folder / f"port{number}"


def kernel_line(machine: Machine) -> str:
    words = ["console=ttyS0", "quiet", "panic=-1", "oops=panic"]
    if not machine.icount:
        # Otherwise 6.1 falls back to the HPET, and every look at the clock is a slow device access.
        words.append("tsc=reliable")
    if machine.kernel.slow:
        # An emulated CPU that checks every access, on a host that has other things to do.
        words += ["watchdog_thresh=60", "workqueue.watchdog_thresh=0",
                  "rcupdate.rcu_cpu_stall_timeout=120"]
        # Else KASAN says nothing after its first report, which may be one of the booting kernel.
        words.append("kasan_multi_shot")
    return " ".join([*words, *machine.append.split()])


def accel_arguments(machine: Machine) -> list[str]:
    if machine.icount:
        return ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"]
    return ["-accel", "kvm" if machine.accel == "kvm" else "tcg,thread=multi"]


def arguments(machine: Machine, files: Files) -> list[str]:
    line = [PROGRAM, *accel_arguments(machine), "-cpu", CPU[machine.accel],
            "-smp", str(machine.cpus), "-m", str(machine.memory),
            "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
            "-kernel", str(machine.kernel.image), "-initrd", str(files.initrd),
            "-append", kernel_line(machine), "-qmp", f"unix:{files.control},server=on,wait=off"]
    if machine.plugin:
        line += ["-plugin", machine.plugin]
    for number, irq in enumerate(PORT_IRQS):
        line += ["-chardev", f"file,id=port{number},path={files.port(number)}",
                 "-device", f"isa-serial,index={number},irq={irq},chardev=port{number}"]
    return line


def start(machine: Machine, files: Files) -> subprocess.Popen[bytes]:
    if shutil.which(PROGRAM) is None:
        raise HarnessError(f"{PROGRAM} is not installed: run `./run setup`")
    with open(files.folder / "qemu.txt", "wb") as messages:
        return subprocess.Popen(arguments(machine, files), stdin=subprocess.DEVNULL,
                                stdout=messages, stderr=messages)


def press_sysrq(files: Files, keys: str) -> None:
    """Asks the guest's kernel for a report, by its keyboard; the answer is on the console."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(2)
        control.connect(str(files.control))
        stream = control.makefile("rw", encoding="utf-8")
        stream.readline()
        for command in [{"execute": "qmp_capabilities"}, *map(_sysrq, keys)]:
            stream.write(json.dumps(command) + "\n")
            stream.flush()
            stream.readline()
            time.sleep(0.5)


def _sysrq(key: str) -> dict[str, object]:
    keys = [{"type": "qcode", "data": code} for code in ("alt", "sysrq", key)]
    return {"execute": "send-key", "arguments": {"keys": keys, "hold-time": 100}}
