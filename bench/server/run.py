#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares servers on fibers with servers of other kinds, in guests and one table on this machine."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

# pylint: disable=wrong-import-position
import guest_run  # noqa: E402
import keys  # noqa: E402

if __name__ == "__main__":
    guest_run.run_as_program(keys.BOOK, __doc__)
