# SPDX-License-Identifier: MIT
"""
What there is to know of a machine before something is measured on it: whether the module may be loaded,
which CPUs are to be used, and what would disturb. All of it is read from /proc and /sys.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LEAST_CPUS = 3  # an application, a worker and a client
MOST_CPUS = 4  # of which each measurement takes as many as it needs
SUPPORTED = re.compile(r"6\.(1|12)\.\d")
CAP_SYS_MODULE = 16
BUSY = 0.05  # of one CPU
LOOK_SECONDS = 1.0
CPUS = "sys/devices/system/cpu"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. Advice is what to do about it; if it is fatal, before anything else."""

    name: str
    found: str
    advice: str = ""
    fatal: bool = False


def numbers(text: str) -> set[int]:
    """Of a list of CPUs such as 0-3,8."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


def listed(cpus: list[int]) -> str:
    return ",".join(map(str, cpus)) or "none"


@dataclass(frozen=True)
class Host:
    """A machine, by the folder that holds its /proc, /sys and /lib/modules."""

    root: Path = Path("/")

    def text(self, path: str) -> str:
        """Of a file; empty where there is none, or where it cannot be read."""
        try:
            return (self.root / path).read_text().strip()
        except OSError:
            return ""

    def line(self, path: str, name: str) -> str:
        """The value of the first line `name: value`."""
        found = re.search(rf"^{re.escape(name)}\s*:[ \t]*(.*)$", self.text(path), re.MULTILINE)
        return found[1] if found else ""

    @property
    def release(self) -> str:
        return self.text("proc/sys/kernel/osrelease")

    @property
    def headers(self) -> Path:
        return self.root / f"lib/modules/{self.release}/build"

    def cores(self) -> list[list[int]]:
        """CPUs that may be used, one of each core: those of a shared last cache together, most first."""
        usable = numbers(self.text(f"{CPUS}/online")) & numbers(
            self.line("proc/self/status", "Cpus_allowed_list"))
        # The scheduler does not spread threads over isolated CPUs, so servers of threads could not use
        # more than one of them.
        usable -= numbers(self.text(f"{CPUS}/isolated"))
        groups: dict[str, list[int]] = {}
        seen: set[int] = set()
        for cpu in sorted(usable):
            if cpu in seen:
                continue
            seen |= numbers(self.text(f"{CPUS}/cpu{cpu}/topology/thread_siblings_list")) | {cpu}
            groups.setdefault(self.text(f"{CPUS}/cpu{cpu}/cache/index3/shared_cpu_list"), []).append(cpu)
        return sorted(groups.values(), key=len, reverse=True)

    def chosen(self) -> list[int]:
        """The CPUs to measure on, of one shared cache if it has enough; the first CPU, which has most of the
        interrupts, only if there is no other."""
        groups = self.cores()
        cpus = groups[0] if groups and len(groups[0]) >= LEAST_CPUS else sorted(sum(groups, []))
        return cpus[1:MOST_CPUS + 1] if len(cpus) > MOST_CPUS and cpus[0] == 0 else cpus[:MOST_CPUS]

    def busy_ticks(self) -> tuple[int, int]:
        """Of all CPUs so far: those with something to do, and all."""
        ticks = [int(word) for word in self.text("proc/stat").split("\n")[0].split()[1:9]]
        return sum(ticks) - sum(ticks[3:5]), sum(ticks)

    def busy_cpus(self, pause: Callable[[float], None] = time.sleep) -> float:
        """How many CPUs are in use."""
        busy, total = self.busy_ticks()
        pause(LOOK_SECONDS)
        later_busy, later_total = self.busy_ticks()
        count = len(numbers(self.text(f"{CPUS}/online")))
        return (later_busy - busy) / max(later_total - total, 1) * count

    def turbo(self) -> str:
        if no_turbo := self.text(f"{CPUS}/intel_pstate/no_turbo"):
            return "off" if no_turbo == "1" else "on"
        return {"0": "off", "1": "on"}.get(self.text(f"{CPUS}/cpufreq/boost"), "unknown")

    def governors(self) -> str:
        found = {self.text(f"{CPUS}/cpu{cpu}/cpufreq/scaling_governor") for cpu in self.chosen()}
        return ", ".join(sorted(found - {""})) or "none"

    def mitigations(self) -> str:
        folder = self.root / CPUS / "vulnerabilities"
        found = ((path.name, self.text(str(path.relative_to(self.root))))
                 for path in sorted(folder.glob("*")))
        return "; ".join(f"{name}: {what}" for name, what in found if what != "Not affected") or "none"

    def facts(self) -> dict[str, str]:
        """What goes into the results."""
        isolated = sorted(numbers(self.text(f"{CPUS}/isolated")))
        return {"processor": self.line("proc/cpuinfo", "model name") or "unknown",
                "CPUs": listed(sorted(numbers(self.text(f"{CPUS}/online")))),
                "measured on CPUs": listed(self.chosen()), "isolated CPUs": listed(isolated),
                "memory": self.line("proc/meminfo", "MemTotal"), "kernel": self.release,
                "command line": self.text("proc/cmdline"), "governor": self.governors(),
                "turbo": self.turbo(),
                "hyper-threads": {"0": "off", "1": "on"}.get(self.text(f"{CPUS}/smt/active"), "unknown"),
                "mitigations": self.mitigations()}


def may_load(host: Host, user: int) -> list[Check]:
    """Whether this process can load the module into this kernel."""
    release = host.release
    capable = int(host.line("proc/self/status", "CapEff") or "0", 16) >> CAP_SYS_MODULE & 1
    checks = [Check("user", "root" if user == 0 else f"user {user}",
                    "" if user == 0 else "run it as root: only root loads modules", user != 0)]
    supported = bool(SUPPORTED.match(release))
    checks.append(Check("kernel", release, "" if supported else
                        "supported are Debian's kernels 6.1 and 6.12", not supported))
    built = (host.headers / "Makefile").exists()
    checks.append(Check("headers", str(host.headers) if built else "none", "" if built else
                        f"apt install linux-headers-{release}", not built))
    if not (host.root / "proc/modules").exists():
        checks.append(Check("modules", "this kernel has none", "boot a kernel of Debian's", True))
    elif host.text("proc/sys/kernel/modules_disabled") == "1":
        checks.append(Check("modules", "disabled until the next boot",
                            "boot without kernel.modules_disabled=1", True))
    elif user == 0 and not capable:
        checks.append(Check("modules", "this container may not load any",
                            "run it on the machine itself, outside of the container", True))
    else:
        checks.append(Check("modules", "can be loaded"))
    if (host.root / "sys/module/flexsc").exists():
        checks.append(Check("flexsc", "is loaded already",
                            "end who uses it, then `rmmod flexsc`: what is measured is the module of "
                            "these sources", True))
    if locked := re.search(r"\[(integrity|confidentiality)\]", host.text("sys/kernel/security/lockdown")):
        checks.append(Check("lockdown", locked[1], "the kernel will want a signed module, see "
                            "docs/bare-metal.md"))
    return checks


def quiet(host: Host, pause: Callable[[float], None] = time.sleep) -> list[Check]:
    """Whether there are CPUs enough, and what would disturb."""
    chosen = host.chosen()
    few = len(chosen) < LEAST_CPUS
    checks = [Check("CPUs", f"{listed(chosen)} (one of each core, none that is isolated)",
                    f"at least {LEAST_CPUS} cores are needed, {MOST_CPUS} for everything" if few else
                    "", few)]
    if "hypervisor" in host.line("proc/cpuinfo", "flags").split():
        checks.append(Check("machine", "virtual", "its CPUs are its host's: a report of it is not one of "
                            "a real machine"))
    busy = host.busy_cpus(pause)
    checks.append(Check("in use", f"{busy:.2f} CPUs", "" if busy <= BUSY else
                        "end what else runs: it is measured too"))
    governor = host.governors()
    checks.append(Check("governor", governor, "" if governor in ("performance", "none") else
                        "`cpupower frequency-set -g performance`, or clocks change while it is measured"))
    clock = host.text("sys/devices/system/clocksource/clocksource0/current_clocksource")
    checks.append(Check("clock", clock or "unknown", "" if clock == "tsc" else
                        "reading it takes long and not always equally long: tsc would be right"))
    facts = host.facts()
    return checks + [Check(name, facts[name]) for name in
                     ("turbo", "hyper-threads", "isolated CPUs", "mitigations")]
