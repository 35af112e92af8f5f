# SPDX-License-Identifier: MIT
"""That each checker of the module finds what it is there for."""

import tempfile
import unittest
from pathlib import Path

import kernels
import kmod
import lint_analyzer
import lint_coccinelle

# A list cursor after its loop, a lock taken twice, and an attribute that would hide what is around it.
FOR_COCCINELLE = """
#include <linux/list.h>
#include <linux/spinlock.h>

int cursor(struct list_head *all);
int cursor(struct list_head *all)
{
	struct item *item;
	int wanted fx_uninitialized;

	list_for_each_entry(item, all, node) {
		if (item->wanted)
			break;
	}
	return item->value;
}

void twice(spinlock_t *lock);
void twice(spinlock_t *lock)
{
	spin_lock(lock);
	spin_lock(lock);
	spin_unlock(lock);
}
"""

# A use after kfree() on one path out of two, in a function that is called.
FOR_THE_ANALYZER = """
#include <linux/module.h>
#include <linux/slab.h>

static void give_back(int *number, bool both)
{
	if (both)
		kfree(number);
}

int last(bool both);
int last(bool both)
{
	int *number = kmalloc(sizeof(*number), GFP_KERNEL);

	if (!number)
		return -ENOMEM;
	*number = 0;
	give_back(number, both);
	return *number;
}
MODULE_LICENSE("GPL");
"""


class Folder(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory())) / "lint-test"
        self.folder.mkdir()

    def write(self, name: str, text: str) -> Path:
        (self.folder / name).write_text(text)
        return self.folder / name


class Coccinelle(Folder):
    def test_finds_what_the_patches_are_about(self) -> None:
        self.write("bad.c", FOR_COCCINELLE)
        found = "\n".join(lint_coccinelle.check(self.folder))
        self.assertRegex(found, r"bad\.c:15:.*\[use_after_iter\]")
        self.assertRegex(found, r"bad\.c:2[12]:.*\[double_lock\]")

    def test_says_what_it_cannot_read(self) -> None:
        path = self.write("strange.c", "void f(void)\n{\n\tstruct thing one an_attribute;\n}\n")
        found = "\n".join(lint_coccinelle.unread(path, lint_coccinelle.macros()))
        self.assertRegex(found, "cannot read: struct thing one an_attribute")

    def test_the_ones_left_out_are_there(self) -> None:
        """A name that is no script any more would leave out nothing, and a typo too."""
        names = {path.stem for path in
                 (lint_coccinelle.kernel_scripts.unpacked() / "coccinelle").rglob("*.cocci")}
        self.assertLessEqual(lint_coccinelle.DRIVERS | lint_coccinelle.OTHERS, names)


class Analyzer(Folder):
    def test_follows_a_path_into_a_function(self) -> None:
        self.write("Kbuild", "obj-m := flexsc.o\nflexsc-y := bad.o good.o\n")
        self.write("bad.c", FOR_THE_ANALYZER)
        self.write("good.c", "#include <linux/module.h>\n")
        for series in kernels.SERIES:
            with self.subTest(series=series):
                kernel = kernels.find(series)
                built = kmod.build(kernel, self.folder).parent
                found = lint_analyzer.analyze(kernel, built)
                self.assertEqual(len(found), 1, found)
                self.assertRegex(found[0], r"^kmod/bad\.c:20:.*Use of memory after it is freed")

    def test_keeps_of_a_command_what_decides_about_reading(self) -> None:
        command = ("gcc-12 -nostdinc -I./include -include /k/compiler_types.h -DMODULE -O2 "
                   "-mindirect-branch=thunk-extern -std=gnu11 -DNAME='\"arm\"' -c -o /b/arm.o /b/arm.c")
        self.assertEqual(lint_analyzer.reading_arguments(command), [
            "-nostdinc", "-I./include", "-include", "/k/compiler_types.h", "-DMODULE", "-std=gnu11",
            '-DNAME="arm"', "/b/arm.c"])


if __name__ == "__main__":
    unittest.main()
