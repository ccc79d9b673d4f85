"""A MariaDB server for tests: the system's own, or Debian's package unpacked into a folder.

``make env`` runs this file. Nothing is installed, and no right of root's is needed: apt downloads
into a folder of its own. Where that cannot be done, the tests of MySQL are skipped, and say so.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PACKAGE: Final = "mariadb-server-core"
#: Where `make env` has it unpacked.
FOLDER: Final = Path(sys.prefix) / "mariadb"
#: As little as a server needs that holds a few megabytes for a minute.
SMALL: Final = (
    "--innodb-log-file-size=4M", "--innodb-buffer-pool-size=64M", "--innodb-undo-tablespaces=0",
    "--innodb-data-file-path=ibdata1:5M:autoextend", "--innodb-autoextend-increment=1",
    "--innodb-temp-data-file-path=ibtmp1:5M:autoextend", "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0", "--aria-pagecache-buffer-size=8M", "--key-buffer-size=1M",
)  # fmt: skip


@dataclass(frozen=True)
class Package:
    """A server's program and what it reads."""

    root: Path

    @property
    def program(self) -> Path:
        """The server."""
        return self.root / "usr" / "sbin" / "mariadbd"

    @property
    def share(self) -> Path:
        """Its messages, character sets and system tables."""
        found = (self.root / "usr" / "share" / name for name in ("mariadb", "mysql"))
        return next(folder for folder in found if (folder / "mysql_system_tables.sql").exists())

    @property
    def environment(self) -> dict[str, str]:
        """With the libraries that were unpacked beside it."""
        if self.root == Path("/"):
            return dict(os.environ)
        libraries = [*self.root.glob("usr/lib/*-linux-gnu*"), *self.root.glob("lib/*-linux-gnu*")]
        return os.environ | {"LD_LIBRARY_PATH": ":".join(map(str, libraries))}

    def make_data(self, folder: Path) -> None:
        """Write the system's tables into a new folder.

        Raises:
            subprocess.SubprocessError: It cannot be done.
        """
        folder.mkdir(parents=True)
        scripts = ("mysql_system_tables.sql", "mysql_system_tables_data.sql")
        statements = b"CREATE DATABASE mysql;\nUSE mysql;\n"
        statements += b"".join((self.share / name).read_bytes() for name in scripts)
        subprocess.run(
            [self.program, "--no-defaults", "--bootstrap", *SMALL, f"--datadir={folder}",
             f"--lc-messages-dir={self.share}", *as_root()],
            input=statements, env=self.environment, check=True, capture_output=True, timeout=120,
        )  # fmt: skip


def as_root() -> tuple[str, ...]:
    """What a server wants to be told when root starts it."""
    return ("--user=root",) if os.geteuid() == 0 else ()


def found() -> Package | None:
    """The system's server, or the one that `make env` has unpacked; None where there is none."""
    for root in (Path("/"), FOLDER / "root"):
        if Package(root).program.exists():
            return Package(root)
    return None


def fetch(folder: Path) -> None:
    """Have the package unpacked in `folder`, whole or not at all.

    Raises:
        OSError, subprocess.SubprocessError: It cannot be had here.
    """
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="mariadb-") as name:
        made = Path(name) / "made"
        downloads = made / "downloads"
        downloads.mkdir(parents=True)
        own = _own_lists(Path(name))
        for options in ((), own):  # the system's lists first, which may be old or empty
            if options:
                _run(["apt-get", *options, "update"])
            try:
                packages = [PACKAGE, *_missing_libraries(options)]
                _run(["apt-get", *options, "download", *packages], cwd=downloads)
                break
            except subprocess.CalledProcessError:
                if options:
                    raise
        for package in sorted(downloads.glob("*.deb")):
            _run(["dpkg-deb", "-x", str(package), str(made / "root")])
        shutil.rmtree(downloads)
        Package(made / "root").make_data(made / "data")
        made.rename(folder)


def _missing_libraries(options: Sequence[str]) -> list[str]:
    """Libraries that the server needs and this machine has not."""
    told = _run(
        ["apt-cache", *options, "depends", "--no-recommends", "--no-suggests", "--no-conflicts",
         "--no-breaks", "--no-replaces", "--no-enhances", PACKAGE]
    )  # fmt: skip
    wanted = re.findall(r"(?m)^ +Depends: (lib[a-z0-9.+-]+)$", told)
    asked = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted]
    known = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    there = {line.split()[0] for line in known.splitlines() if line.endswith(" installed")}
    return [library for library in wanted if library not in there]


def _own_lists(folder: Path) -> tuple[str, ...]:
    """Options of apt's that keep its lists of packages in a folder, which anybody may write."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    settings = {
        "Dir::State": folder / "state",
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
        "Acquire::Languages": "none",
    }
    return tuple(f"-o{name}={value}" for name, value in settings.items())


def _run(words: Sequence[str], cwd: Path | None = None) -> str:
    done = subprocess.run(
        words, cwd=cwd, check=True, capture_output=True, text=True, timeout=300, stdin=None
    )
    return done.stdout


def main() -> None:
    """Have a server where there is none yet; never fail."""
    if found() is not None:
        return
    try:
        fetch(FOLDER)
    except (OSError, subprocess.SubprocessError, StopIteration) as error:
        sys.stderr.write(f"no MariaDB for tests ({error}): the tests of MySQL will be skipped\n")


if __name__ == "__main__":
    main()
