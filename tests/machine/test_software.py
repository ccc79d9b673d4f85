from __future__ import annotations

import pytest

from machine.software import PACKAGES, require_sole_owner
from protocol.errors import ConfigError


@pytest.mark.parametrize("package", PACKAGES)
def test_an_environment_where_somebody_else_ships_our_package_is_refused(package: str) -> None:
    with pytest.raises(ConfigError, match=f"{package!r} is also shipped by other") as caught:
        require_sole_owner({package: ["fedseg", "other"]})
    assert caught.value.code == "E-INSTALLATION"


def test_an_editable_installation_that_lists_no_packages_is_fine() -> None:
    require_sole_owner({"numpy": ["numpy"]})
