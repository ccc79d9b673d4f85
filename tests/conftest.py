"""What holds for all tests."""

from __future__ import annotations

import os

# Rich keeps the width that the environment has when a console is made: tests set their own later.
os.environ.pop("COLUMNS", None)
os.environ.pop("LINES", None)
