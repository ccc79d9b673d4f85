"""How much a test that counts rare events does, and the seed of its random draws.

`make test` proves each property with a count that a commit can wait for; `make test-long` runs the
same code with the full count, from another seed each time. Both print the seed at the start; set
``FEDSEG_TEST_SEED`` to that number, and ``FEDSEG_TEST_EFFORT`` to ``long``, to draw the same again.
"""

from __future__ import annotations

import hashlib
import os
import random
import secrets
from typing import Final

import numpy as np

EFFORT_VARIABLE: Final = "FEDSEG_TEST_EFFORT"
SEED_VARIABLE: Final = "FEDSEG_TEST_SEED"

LONG: Final = os.environ.get(EFFORT_VARIABLE, "") == "long"
if os.environ.get(EFFORT_VARIABLE, "") not in ("", "long"):
    raise ValueError(f"{EFFORT_VARIABLE} is {os.environ[EFFORT_VARIABLE]!r}; it may be 'long'")
# Workers of pytest-xdist are started with this environment: all draw from one seed.
SEED: Final = int(os.environ.setdefault(SEED_VARIABLE, str(secrets.randbits(32) if LONG else 1)))


def count(commit: int, long: int) -> int:
    """How often to do something: `commit` times in ``make test``, `long` in ``make test-long``."""
    return long if LONG else commit


def chance(name: str) -> random.Random:
    """Random numbers of one test, which differ with the seed and with `name`."""
    return random.Random(_seed_of(name))


def generator(name: str) -> np.random.Generator:
    """As `chance`, in numpy."""
    return np.random.default_rng(_seed_of(name))


def _seed_of(name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{SEED} {name}".encode()).digest()[:8], "big")
