"""Check that our packages are not mixed with another distribution's.

Our top-level packages have plain names. An environment in which somebody else's ``protocol``
lies in the same place would mix two programs, so nodes and coordinators check before they start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from typing import Final

from protocol.errors import ConfigError

DISTRIBUTION: Final = "fedseg"
PACKAGES: Final = ("protocol", "machine", "coordinator", "partner_node", "simulations")


@cache
def owners_of_packages() -> Mapping[str, Sequence[str]]:
    """Distributions by top-level package, as a process finds them when it first asks.

    All metadata of the environment are read for it; what is installed later is not what runs.
    """
    return metadata.packages_distributions()


def require_sole_owner(owners: Mapping[str, Sequence[str]]) -> None:
    """Refuse an environment in which another distribution ships one of our packages.

    Args:
        owners: Distributions by top-level package (`owners_of_packages`).

    Raises:
        ConfigError: One does (E-INSTALLATION).

    >>> require_sole_owner({"protocol": ["fedseg"], "numpy": ["numpy"]})
    """
    for package in PACKAGES:
        strangers = sorted(set(owners.get(package, ())) - {DISTRIBUTION})
        if strangers:
            raise ConfigError(
                f"the package {package!r} is also shipped by {', '.join(strangers)}",
                code="E-INSTALLATION",
                remedy="install fedseg into an environment of its own",
            )
