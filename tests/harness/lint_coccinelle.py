# SPDX-License-Identifier: MIT
"""
The semantic patches that come with the kernel (scripts/coccinelle), run on the module. They find what
neither a compiler nor sparse looks for: locks taken twice, list cursors used after their loop, memory
used after kfree(), tests that cannot fail.
"""

import re
from pathlib import Path

import kernel_scripts
import kmod
from lint_cpp import for_each, tool
from paths import BUILD, ROOT

# Not run, as they cannot find anything here: they are about interfaces of hardware drivers, ...
DRIVERS = {"check_bq27xxx_data", "device_attr_show", "platform_get_irq", "platform_no_drv_owner",
           "pm_runtime", "resource_size", "clk_put", "devm_free", "iounmap", "pci_free_consistent",
           "put_device", "device_node_continue", "for_each_child", "irqf_oneshot", "of_table"}
# ... or need an OCaml compiler, and sparse finds the same.
OTHERS = {"badzero"}
# Of parsing: what does not parse is not looked at. These are tables of macros, without code.
UNREADABLE = re.compile(r'#define ROW|#include "calls\.h"|#define TRACE_INCLUDE_PATH')
FOUND = re.compile(r"^\S+\.[ch]:\d+:\d+")
OPTIONS = re.compile(r"^// +Options: +(.*)$", re.MULTILINE)


def scripts() -> list[Path]:
    folder = kernel_scripts.unpacked() / "coccinelle"
    return [path for path in sorted(folder.rglob("*.cocci"))
            if path.stem not in DRIVERS | OTHERS]


def macros() -> Path:
    """Attributes of ours that only a compiler knows."""
    path = BUILD / "lint/coccinelle.h"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#define fx_uninitialized\n")
    return path


def unread(path: Path, macro_file: Path) -> list[str]:
    """Parts of a file that coccinelle cannot parse, and would pass over in silence."""
    parsed = tool("spatch", "--macro-file", str(macro_file), "--parse-c", str(path)).stdout
    return [f"{path.name}: coccinelle cannot read: {line.removeprefix('BAD:!!!!!').strip()}"
            for line in parsed.splitlines() if line.startswith("BAD")
            and not UNREADABLE.search(line)]


def apply(script: Path, folder: Path, macro_file: Path) -> list[str]:
    """What one semantic patch finds in the C files below a folder."""
    options = OPTIONS.search(script.read_text())
    result = tool("spatch", "--very-quiet", "-D", "report", "--no-show-diff",
                  "--macro-file", str(macro_file), "--cocci-file", str(script),
                  *(options[1].split() if options else []), "--dir", str(folder))
    found = [line for line in result.stdout.splitlines() if FOUND.match(line)]
    if result.returncode and not found:
        found = [f"{script.name}: spatch ended with {result.returncode}: {result.stdout}"]
    return [f"{line} [{script.stem}]" for line in found]


def check(folder: Path) -> list[str]:
    """All that the semantic patches find there, and what they cannot read."""
    sources = sorted(folder.glob("*.c"))
    macro_file = macros()  # once, and before it is read
    problems = [*for_each(lambda path: unread(path, macro_file), sources),
                *for_each(lambda script: apply(script, folder, macro_file), scripts())]
    return [problem.replace(f"{ROOT}/", "") for problem in problems]


def semantic_patches(_files: list[Path]) -> list[str]:
    return check(kmod.SOURCE)
