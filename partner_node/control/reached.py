"""Whether the control port is reached, knows this node, and has the same time: for `check`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from partner_node.control.belonging import open_channel
from partner_node.control.presence import show_up
from partner_node.home import NodeHome
from partner_node.link.certificates import SOON
from partner_node.link.proxy import way_to
from partner_node.membership import CERTIFICATE_FILE, FILE_NAME, Membership
from protocol.errors import ConfigError, RuleError, TransportError

#: A difference of clocks that is mentioned.
_MENTIONED_S: Final = 4.0
#: Calls of runs are refused when they are signed so long before the coordinator's time; or more
#: than `_MENTIONED_S` after it.
_MOST_BEHIND_S: Final = 290.0
_CLOCKS: Final = "set this machine's clock by a time service, and have the operator look at theirs"


def check_control(home: NodeHome, now: datetime, warnings: list[str]) -> str:
    """Call the control port as this node, which joined by invitation.

    Args:
        warnings: Gets what keeps no run from going on: also that the port is away.

    Returns:
        What was found.

    Raises:
        RuleError: The coordinator does not let this node in (E-LINK-NOT-ADMITTED, E-CALLER), or the
            clocks differ by more than runs allow (E-LINK-CLOCK).
        ConfigError: A file is missing, or no certificate.
    """
    coordinator = home.config.coordinator
    address = coordinator.control or ""
    proxy = way_to(address, coordinator.proxy)
    end = _end(home)
    if end <= now:
        warnings.append(
            f"this node's certificate for the control port ended on {end:%Y-%m-%d}; runs do not "
            f"need it: ask the operator for an invitation, delete {home.directory / FILE_NAME}, "
            "and call `fedseg-node join` with it in this folder"
        )
        return f"{address} was not called"
    if end - now < SOON:
        warnings.append(
            f"this node's certificate for the control port ends on {end:%Y-%m-%d}: it is renewed "
            "by itself while the node serves and reaches that port"
        )
    try:
        with open_channel(home, retries=False) as channel:
            standing = show_up(channel)
    except TransportError as error:
        warnings.append(f"{error.message}; runs do not need it: {error.remedy}")
        return f"{address} is not reached ({error.code})"
    if not standing.admitted:
        raise _not_admitted(home)
    by = "directly" if proxy is None else f"through {proxy.words}"
    found = f"{address} answers {by}; admitted; certificate until {end:%Y-%m-%d}"
    if standing.clock_ahead_s is None:  # a coordinator of an earlier version
        return found
    return f"{found}; {_clocks(standing.clock_ahead_s, warnings)}"


def _end(home: NodeHome) -> datetime:
    path = home.keys_folder / CERTIFICATE_FILE
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read, or is no certificate", remedy="put it back from a backup"
        ) from error


def _not_admitted(home: NodeHome) -> RuleError:
    membership = Membership.load(home.directory)
    code = "" if membership is None else membership.code
    return RuleError(
        "the operator has not admitted this node",
        code="E-LINK-NOT-ADMITTED",
        remedy=f"tell the operator its short code, {code}, over the telephone, for "
        f"fedseg-coordinator partner admit --code {code}",
    )


def _clocks(ahead_s: float, warnings: list[str]) -> str:
    """How the clocks differ; raises RuleError when runs would be refused for it."""
    where = "ahead of" if ahead_s > 0 else "behind"
    words = f"this machine's clock is {_span(abs(ahead_s))} {where} the coordinator's"
    if ahead_s > _MENTIONED_S or ahead_s < -_MOST_BEHIND_S:
        raise RuleError(f"{words}: runs are refused", code="E-LINK-CLOCK", remedy=_CLOCKS)
    if ahead_s < -_MENTIONED_S:
        warnings.append(f"{words}: {_CLOCKS}")
    return f"clocks differ by {abs(ahead_s):.1f} s"


def _span(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 59.95 else str(timedelta(seconds=round(seconds)))
