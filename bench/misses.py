# SPDX-License-Identifier: MIT
"""
The table of what calls do to the user code around them (bench/kernel/indirect.cpp): the misses of that code
for each 1000 of its own instructions, counted by the cache model in guests, or by a real processor.
"""

from paths import HarnessError

KINDS = {"l1i_misses": "L1i", "l1d_misses": "L1d", "l2_misses": "L2", "itlb_misses": "ITLB",
         "dtlb_misses": "DTLB", "stlb_misses": "STLB"}
HOWS = ("no calls", "direct", "posted")
APPLICATION_CPU = 0
UNIT = "misses per 1000 instructions"
COUNTER = "instructions"


class Table:
    """Lines by kind and how, to which samples are added."""

    def __init__(self) -> None:
        self.batches: dict[tuple[str, str], dict[str, list[float]]] = {}

    def add(self, region: dict, counts: dict, per_step: float) -> None:
        """One region: what was counted in it, and how many instructions one of its steps has."""
        thousands = region["steps"] * per_step / 1000
        for name, kind in KINDS.items():
            if name in counts:
                line = self.batches.setdefault((kind, region["how"]), {})
                line.setdefault(str(region["every"]), []).append(counts[name] / thousands)

    def result(self) -> dict:
        return {"table": [{"call": kind, "how": how, "batches": self.batches[kind, how]}
                          for kind in KINDS.values() for how in HOWS if (kind, how) in self.batches]}


def steps(regions: list[dict], counts: list[dict]) -> float:
    """Instructions of a step. Where calls are made, a loop also has those of posting and of waiting."""
    alone = [(counted[COUNTER], region["steps"]) for region, counted in zip(regions, counts, strict=True)
             if region["how"] == "no calls"]
    return sum(count for count, _ in alone) / sum(number for _, number in alone)


def modelled(answers: list[tuple[dict, list[list[dict]]]]) -> dict:
    """Of some guests: what the program says, and what was counted between its marks."""
    table = Table()
    for answer, stops in answers:
        regions = answer["regions"]
        if len(stops) != 2 * len(regions):
            raise HarnessError(f"the cache model stopped {len(stops)} times in {len(regions)} regions")
        # The first time that a region runs only fills the caches.
        counts = [next(cpu["user"] for cpu in stop if cpu["cpu"] == APPLICATION_CPU) for stop in stops[1::2]]
        per_step = steps(regions, counts)
        for region, counted in zip(regions, counts, strict=True):
            table.add(region, counted, per_step)
    return table.result()


def in_hardware(answer: dict) -> dict:
    """Of a real processor. @throws HarnessError if it does not count"""
    regions = answer["regions"]
    counts = [region.get("counters", {}) for region in regions]
    if not all(COUNTER in counted and len(counted) > 1 for counted in counts):
        reasons = sorted({f"{name}: {why}" for region in regions
                          for name, why in region.get("no_counters", {}).items()})
        raise HarnessError(f"the processor's counters cannot be had ({'; '.join(reasons)})")
    table = Table()
    per_step = steps(regions, counts)
    for region, counted in zip(regions, counts, strict=True):
        table.add(region, counted, per_step)
    return table.result()
