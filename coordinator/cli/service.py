"""``serve``: opens the public port and drives runs until stopped; ``console``: its pages."""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from pathlib import Path

from coordinator.cli.options import HERE, Directory
from coordinator.config import CoordinatorConfig
from coordinator.control.inviting import ADDRESS_FILE as CONTROL_ADDRESS_FILE
from machine import logs
from machine.console import Format, FormatOption
from machine.files import write_file
from machine.log_options import FormatOfLog, LevelOfLog
from machine.logs import LogFormat, LogLevel
from machine.signals import set_when_asked_to_end

logger = logging.getLogger(__name__)

ADDRESS_FILE = "address"


def serve(
    directory: Directory = HERE,
    log_format: FormatOfLog = LogFormat.TEXT,
    log_level: LevelOfLog = LogLevel.INFO,
) -> None:
    """Open the public port and drive runs until stopped (Ctrl-C or SIGTERM)."""
    from coordinator.service.serving import CoordinatorService  # Flower takes long to import

    logs.to_console(log_format, log_level)
    stop = threading.Event()
    set_when_asked_to_end(stop)
    config = CoordinatorConfig.load(directory)

    def announce(address: str, control: str) -> None:
        if control:
            write_file(directory / CONTROL_ADDRESS_FILE, control + "\n")
            logger.info("partners join at %s", control)
        write_address(directory, address)
        logger.info("serving partners at %s", address)

    try:
        CoordinatorService(config=config, announce=announce).serve(stop)
    finally:
        for name in (ADDRESS_FILE, CONTROL_ADDRESS_FILE):
            (directory / name).unlink(missing_ok=True)


def console(
    directory: Directory = HERE,
    format: Format = FormatOption,
    log_format: FormatOfLog = LogFormat.TEXT,
    log_level: LevelOfLog = LogLevel.INFO,
) -> None:
    """Serve the coordinator's console on this machine until stopped (Ctrl-C or SIGTERM).

    It is a process of its own beside `serve`: a fault there touches no run.
    """
    from coordinator.console.site import coordinator_site  # imported where somebody serves
    from machine.web.application import application
    from machine.web.oidc.sign_in import SignInByProvider
    from machine.web.serving import announce, listening
    from machine.web.serving import serve as serve_pages

    config = CoordinatorConfig.load(directory)
    address = config.console
    with listening(address) as listener, closing(config.open_store()) as store:
        port = listener.getsockname()[1]
        oidc = None if config.oidc is None else SignInByProvider.at(config.oidc, address, port)
        site = coordinator_site(config, store, hosts=address.hosts(port), oidc=oidc)
        stop = threading.Event()
        set_when_asked_to_end(stop)
        logs.to_console(log_format, log_level)
        announce(address, port, oidc)
        serve_pages(application(site), address, listener, stop)


def write_address(directory: Path, address: str) -> None:
    """Write the public address to a file in the folder, for scripts that wait for it."""
    write_file(directory / ADDRESS_FILE, address + "\n")
