# SPDX-License-Identifier: MIT
"""Where things are, and the one exception whose text is meant for the user."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HARNESS = Path(__file__).resolve().parent
ROOT = HARNESS.parents[1]
BUILD = Path(os.environ.get("FLEXSC_BUILD_DIR", ROOT / "build")).resolve()
# Programs of others to compare with, which setup fetches without installing them.
RIVALS = BUILD / "rivals"


class HarnessError(Exception):
    """Something the user can mend; the text says what happened and what to do next."""


@contextmanager
def published(target: Path) -> Iterator[Path]:
    """A new file to write that takes its name only when it is complete; others may do the same."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as folder:
        partial = Path(folder) / target.name
        yield partial
        partial.rename(target)
