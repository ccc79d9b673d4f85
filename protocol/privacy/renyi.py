"""The Rényi accountant of `dp_accounting`, without the rest of that package.

The package's own ``__init__`` imports privacy loss distributions and calibration, and with them
scipy's signals, statistics and optimisers: most of a second, in every process that reads an
agreement. Nothing here asks for those.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from typing import Any, Final

_LIBRARY: Final = "dp_accounting"


def accountant_of_zcdp(rho: float) -> Any:
    """An accountant to which `rho` of zCDP is charged; queries may be adaptive."""
    event, accountant = _imported()
    charged = accountant()
    charged.compose(event(rho, 0.0))
    return charged


def _imported() -> tuple[Any, Any]:
    """The event of zCDP and the accountant: of the library as it is, whoever has imported it.

    A package of the same place whose ``__init__`` was not run stands in while its two modules are
    imported, and is taken away again: the next import of the library gets all of it.
    """
    if _LIBRARY not in sys.modules:
        spec = find_spec(_LIBRARY)
        if spec is None:
            raise ModuleNotFoundError(f"no module named {_LIBRARY!r}", name=_LIBRARY)
        bare = module_from_spec(spec)
        sys.modules[_LIBRARY] = bare
        try:
            return _modules()
        finally:
            if sys.modules.get(_LIBRARY) is bare:
                del sys.modules[_LIBRARY]
    return _modules()


def _modules() -> tuple[Any, Any]:
    from dp_accounting.dp_event import ZCDpEvent
    from dp_accounting.rdp.rdp_privacy_accountant import RdpAccountant

    return ZCDpEvent, RdpAccountant
