# SPDX-License-Identifier: MIT
"""Where things are, and the one exception whose text is meant for the user."""

import os
from pathlib import Path

HARNESS = Path(__file__).resolve().parent
ROOT = HARNESS.parents[1]
BUILD = Path(os.environ.get("FLEXSC_BUILD_DIR", ROOT / "build")).resolve()


class HarnessError(Exception):
    """Something the user can mend; the text says what happened and what to do next."""
