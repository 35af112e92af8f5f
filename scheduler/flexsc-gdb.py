# SPDX-License-Identifier: MIT
"""
Fibers of FlexSC in gdb, of a live process or a core dump:

    (gdb) source flexsc-gdb.py
    (gdb) flexsc fibers             every fiber with its state and backtrace
    (gdb) flexsc fibers NAME        those of that name

It reads what include/flexsc/detail/fiber_table.hpp describes, so it needs no debugging symbols of the
library. Backtraces are gdb's own: an unwinder puts the registers of a fiber below the selected thread's
innermost frame, and nothing in the process is changed.
"""

import struct

import gdb
import gdb.unwinder

MAGIC = 0x7372656269662D78
VERSION = 1
MARK = 0x464C58465F464942
OWNER_BELOW_TOP = 16
STATES = ("fresh", "ready", "running", "waiting", "finished")
MOST_FRAMES = 64
MOST_NAME = 256
REGISTERS = ("r12", "r13", "r14", "r15", "rbx", "rbp", "rip")


def read(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def unpack(layout, address):
    return struct.unpack(layout, read(address, struct.calcsize(layout)))


def pointer(address):
    return unpack("<Q", address)[0]


def text(address):
    return gdb.selected_inferior().read_memory(address, MOST_NAME).tobytes().split(b"\0")[0].decode(
        "utf-8", "replace") if address else ""


class Unwinder(gdb.unwinder.Unwinder):
    """While it has registers, the caller of the innermost frame is the fiber they are of."""

    class FrameId:
        def __init__(self, sp, pc):
            self.sp = sp
            self.pc = pc

    def __init__(self):
        super().__init__("flexsc fibers")
        self.registers = None
        self.innermost = None

    def __call__(self, pending):
        if self.registers is None:
            return None
        sp = pending.read_register("rsp")
        pc = pending.read_register("rip")
        if (int(sp), int(pc)) != self.innermost:
            return None
        info = pending.create_unwind_info(self.FrameId(sp, pc))
        kind = gdb.lookup_type("unsigned long")
        for name, value in self.registers.items():
            info.add_saved_register(name, gdb.Value(value).cast(kind))
        return info

    def frames(self, registers):
        """Of that context, innermost first."""
        gdb.invalidate_cached_frames()
        newest = gdb.newest_frame()
        self.innermost = (int(newest.read_register("rsp")), int(newest.read_register("rip")))
        self.registers = registers
        gdb.invalidate_cached_frames()
        lines = []
        try:
            frame = gdb.newest_frame().older()
            while frame is not None and len(lines) < MOST_FRAMES:
                place = frame.find_sal()
                where = f" at {place.symtab.filename}:{place.line}" if place.symtab else ""
                lines.append(f"{frame.pc():#x} in {frame.name() or '??'}{where}")
                frame = frame.older()
        except gdb.error as error:
            lines.append(f"({error})")
        finally:
            self.registers = None
            gdb.invalidate_cached_frames()
        return lines


UNWINDER = Unwinder()
gdb.unwinder.register_unwinder(None, UNWINDER, replace=True)


class Fiber:
    """A FiberRecord."""

    def __init__(self, address):
        (mark, name, size, state, self.parks, self.since, self.carrier, self.waits_on, self.call,
         saved) = unpack("<QQIB3xQqQQQQ", address)
        if mark != MARK ^ address:
            raise gdb.MemoryError("not a fiber")
        self.address = address
        self.name = read(name, min(size, MOST_NAME)).decode("utf-8", "replace") if size else ""
        self.state = STATES[state] if state < len(STATES) else "?"
        self.stack_pointer = pointer(saved) if self.state not in ("fresh", "running") else 0

    def waits_for(self):
        if self.state != "waiting":
            return ""
        if self.call:
            call = pointer(self.call)
            if not call:
                return " for a chain of calls"
            number, *arguments = unpack("<I4x6Q", call)
            return f" for call {number}(" + ", ".join(hex(each) for each in arguments) + ")"
        if self.waits_on:
            what, where = unpack("<QQ", self.waits_on)
            return f" for {text(what)}" + (f" {where:#x}" if where else "")
        return ""


def fibers():
    """All fibers of the process, and how their registers are saved."""
    try:
        where = gdb.parse_and_eval("(unsigned long)&flexsc_fiber_table")
    except gdb.error as error:
        raise gdb.GdbError("no fibers: the process has no libflexsc_fiber") from error
    table = pointer(int(where))
    if not table:
        raise gdb.GdbError("no fibers: the process has made no flexsc::Runtime")
    magic, version, _process, runtime, *saved = unpack("<QIiQ8I", table)
    if magic != MAGIC or version != VERSION:
        raise gdb.GdbError(f"its table of fibers has version {version}, this script knows {VERSION}")
    found = []
    while runtime:
        runtime, _carriers, _count, stacks = unpack("<QQQQ", runtime)
        while stacks:
            following, used = unpack("<QQ", stacks)
            for i in range(used):
                top, stride, count = unpack("<QQQ", stacks + 16 + i * 24)
                for _ in range(count):
                    try:
                        owner = pointer(top - OWNER_BELOW_TOP)
                        if owner:
                            found.append(Fiber(owner))
                    except gdb.MemoryError:
                        pass  # a stack that was never touched is not in a core dump
                    top += stride
            stacks = following
    return found, dict(zip((*REGISTERS, "after"), saved))


class Flexsc(gdb.Command):
    """What FlexSC has in this process."""

    def __init__(self):
        super().__init__("flexsc", gdb.COMMAND_STATUS, prefix=True)


class FlexscFibers(gdb.Command):
    """Every fiber, or those of one name, with state and backtrace: flexsc fibers [NAME]"""

    def __init__(self):
        super().__init__("flexsc fibers", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        del from_tty
        listed, places = fibers()
        for fiber in listed:
            if argument and fiber.name != argument:
                continue
            print(f"fiber {fiber.address:#x} '{fiber.name}' {fiber.state}{fiber.waits_for()}")
            if not fiber.stack_pointer:
                continue
            registers = {name: pointer(fiber.stack_pointer + places[name]) for name in REGISTERS}
            registers["rsp"] = fiber.stack_pointer + places["after"]
            for number, line in enumerate(UNWINDER.frames(registers)):
                print(f"    #{number} {line}")
        print(f"{len(listed)} fibers")


Flexsc()
FlexscFibers()
