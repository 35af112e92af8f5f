# SPDX-License-Identifier: MIT
"""`./run guest`: one command in a guest with the module loaded."""

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import accel
import boot
import cache_model
import elf
import initramfs
import kernels
import kmod
import qemu
from paths import HarnessError

EPILOG = """\
CMD is a shell command line if it is one argument, else a program and its arguments. Its first word
can be a program of build/bin, a busybox applet, a program of this machine, or a path on it. The
guest has all programs of build/bin. What CMD leaves in /out is copied to --out DIR.

The status is CMD's own; 124: time limit; 125: CMD was content, but the kernel complained, or the
module could not be loaded or removed cleanly, or the guest died.

examples:
  ./run guest -- flexsc-guest-tests --gtest_filter='Policy*'
  ./run guest --kernel 6.12 --cpus 4 --out /tmp/o -- 'dmesg > /out/dmesg; ls /sys/module/flexsc'
"""


def parse_file(text: str) -> tuple[Path, str]:
    host, colon, guest = text.rpartition(":")
    if not colon or not guest.startswith("/"):
        raise argparse.ArgumentTypeError(f"{text}: expected HOST_PATH:/GUEST/PATH")
    return Path(host), guest


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run guest", description=__doc__, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", default="6.1", metavar="K",
                        help="6.1 (default), 6.12, all, kasan, kcsan (./run debug-kernel), an image, "
                             "or a kernel's build tree")
    parser.add_argument("--cpus", type=int, choices=range(1, 5), help="default: 2")
    parser.add_argument("--memory", type=int, metavar="MIB",
                        help="default: 1024; debug kernels 2048")
    parser.add_argument("--icount", action="store_true",
                        help="count instructions: one CPU, one nanosecond per instruction")
    parser.add_argument("--cache-model", type=Path, metavar="FILE",
                        help="model the caches of each CPU between the marks of the program "
                             "(bench/cache-model/marks.hpp); the counts go to FILE as JSON")
    parser.add_argument("--accel", default="auto", choices=accel.CHOICES,
                        help="default: KVM where it boots a guest, else emulation")
    parser.add_argument("--timeout", type=float, default=120, metavar="S",
                        help="from the moment the guest is up; default: 120")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the guest's /out goes")
    parser.add_argument("--file", type=parse_file, action="append", default=[],
                        metavar="HOST:GUEST", help="a file or directory to put in the guest")
    parser.add_argument("--no-module", action="store_true", help="do not build or load flexsc.ko")
    parser.add_argument("--module-source", type=Path, default=kmod.SOURCE, metavar="DIR",
                        help="build flexsc.ko from here instead of kmod/")
    parser.add_argument("--module-args", default="", metavar="ARGS", help="for insmod")
    parser.add_argument("--append", default="", metavar="ARGS", help="for the kernel command line")
    parser.add_argument("--name", help="of the log; default: CMD's first word")
    parser.add_argument("command", nargs="+", metavar="CMD")
    options = parser.parse_args(arguments)
    if options.cpus is None:
        options.cpus = 1 if options.icount else 2
    if options.icount and options.cpus != 1:
        parser.error("--icount works with one CPU only")
    if options.cache_model and options.accel == "kvm":
        parser.error("--cache-model works in the emulator only")
    return options


def applets() -> set[str]:
    result = subprocess.run([initramfs.BUSYBOX, "--list"], capture_output=True, text=True,
                            check=True)
    return set(result.stdout.split())


def resolve(words: list[str]) -> tuple[str, dict[str, Path]]:
    """The shell line to run and the programs of this machine it needs."""
    line = words[0] if len(words) == 1 else shlex.join(words)
    first = line.split()[0] if len(words) == 1 else words[0]
    if "/" in first and Path(first).is_file():
        path = Path(first).resolve()
        return line.replace(first, path.name, 1), {path.name: path}
    if "/" in first or first in initramfs.built_programs() or first in applets():
        return line, {}
    found = shutil.which(first)
    if found and elf.is_elf(Path(found)):
        return line, {first: Path(found)}
    return line, {}  # a word of the shell, or the guest's shell will say that it is not there


def make_run(options: argparse.Namespace, kernel: kernels.Kernel) -> boot.Run:
    line, programs = resolve(options.command)
    module = None if options.no_module else kmod.build(kernel, options.module_source)
    emulated = options.icount or options.cache_model
    how = "tcg" if emulated else accel.choose(kernel, options.accel)
    plugin = cache_model.plugin(options.cache_model) if options.cache_model else ""
    machine = qemu.Machine(kernel, options.cpus, options.memory or kernel.memory,
                           options.icount, how, options.append, plugin)
    payload = initramfs.Payload(line, programs, tuple(options.file), module,
                                {"module_args": options.module_args})
    name = options.name or re.sub(r"[^\w.+-]", "", Path(line.split()[0]).name) or "command"
    return boot.Run(name, machine, payload, options.timeout, options.out)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    chosen = kernels.select(options.kernel)
    if (options.out or options.cache_model) and len(chosen) > 1:
        raise HarnessError("several kernels would write the same files: give one --kernel")
    worst = 0
    for kernel in chosen:
        run = make_run(options, kernel)
        boot.say(f"booting Linux {kernel.release} ({run.machine.accel})")
        outcome = boot.boot(run)
        boot.announce(run, outcome)
        if options.cache_model and outcome.status == 0:
            print(cache_model.table(options.cache_model))
        worst = worst or outcome.status
    return worst


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HarnessError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
