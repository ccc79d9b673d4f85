"""Commands to serve and to report on it: `serve`, `console`, `status`."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from machine import logs
from machine.console import Format, FormatOption, output
from machine.log_options import FormatOfLog, LevelOfLog
from machine.logs import LogFormat, LogLevel
from machine.signals import set_when_asked_to_end
from partner_node.cli.options import HERE, Directory
from partner_node.home import NodeHome
from partner_node.shown.status import status_shown


def serve(
    directory: Directory = HERE,
    log_format: FormatOfLog = LogFormat.TEXT,
    log_level: LevelOfLog = LogLevel.INFO,
) -> None:
    """Connect to the coordinator and answer until stopped (Ctrl-C or SIGTERM)."""
    from partner_node.serving import serve_node  # Flower takes long to import

    logs.to_console(log_format, log_level)
    stop = threading.Event()
    set_when_asked_to_end(stop)
    serve_node(directory, stop)


def console(
    directory: Directory = HERE,
    format: Format = FormatOption,
    log_format: FormatOfLog = LogFormat.TEXT,
    log_level: LevelOfLog = LogLevel.INFO,
) -> None:
    """Serve the console of this node on this machine until stopped (Ctrl-C or SIGTERM).

    It is a process of its own beside `serve`: a fault there touches no run.
    """
    from machine.web.application import application  # imported where somebody serves
    from machine.web.oidc.sign_in import SignInByProvider
    from machine.web.serving import announce, listening, serve
    from partner_node.console.site import node_site

    home = NodeHome.load(directory)
    address = home.config.console
    with listening(address) as listener:
        port = listener.getsockname()[1]
        settings = home.config.oidc
        oidc = None if settings is None else SignInByProvider.at(settings, address, port)
        site = node_site(home, hosts=address.hosts(port), oidc=oidc)
        stop = threading.Event()
        set_when_asked_to_end(stop)
        logs.to_console(log_format, log_level)
        announce(address, port, oidc)
        serve(application(site), address, listener, stop)


def status(directory: Directory = HERE, format: Format = FormatOption) -> None:
    """What goes on now; runs that this node took part in, what it refused, and what waits."""
    home = NodeHome.load(directory)
    output.show(status_shown(home, home.store(home.keystore()), datetime.now(UTC)))
