"""`user …` at both sides: accounts are made at the machine, and every change is in the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from machine.accounts import commands
from machine.accounts.commands import acts_table
from partner_node.keystore import Keystore
from tests.machine.people import cheap_passwords
from tests.partner_node.nodes import init_words, shell
from tests.shell import Shell

__all__ = ["shell"]


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("machine.accounts.accounts.Passwords", cheap_passwords)
    monkeypatch.setitem(Keystore.create.__kwdefaults__, "log2_n", 14)


@pytest.fixture(params=["fedseg-node", "fedseg-coordinator"])
def side(shell: Shell, request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    """A program, in whose own folder accounts can be made."""
    shell.program = request.param
    folder = tmp_path / "side"
    if shell.program == "fedseg-node":
        shell.json(*init_words(folder))
    else:
        shell.json("init", "--legal-name", "Trust", "--contact", "c@trust.example", "--host",
                   "127.0.0.1", "--port", "0", "--dir", folder)  # fmt: skip
    variable = f"FEDSEG_{shell.program.removeprefix('fedseg-').upper()}_DIR"
    shell.patch.setenv(variable, str(folder))
    word = tmp_path / "word"
    word.write_text("correct horse battery\n")
    word.chmod(0o600)
    return shell


def test_accounts_are_made_listed_changed_and_removed(side: Shell, tmp_path: Path) -> None:
    assert side.json("user", "list") == {"accounts": []}
    assert "no account yet" in side("user", "list").out
    made = side.json("user", "add", "anna", "--role", "approver", "--password-file", "word")
    assert (made["name"], made["role"], len(made["recovery_codes"])) == ("anna", "approver", 8)
    assert made["otpauth"].startswith("otpauth://totp/")
    assert (tmp_path / "side").is_dir()
    again = side.json("user", "reset", "anna", "--password-file", "word")
    assert again["otpauth"] != made["otpauth"]
    assert side.json("user", "role", "anna", "auditor")["role"] == "auditor"
    (one,) = side.json("user", "list")["accounts"]
    assert (one["name"], one["role"]) == ("anna", "auditor")
    assert "anna" in side("user", "list").out
    side.json("user", "remove", "anna")
    error = side.refused("user", "remove", "anna", status=2)
    assert error["code"] == "E-ACCOUNT-UNKNOWN"
    acts = side.json("user", "log")["acts"]
    assert [(one["act"], one["outcome"]) for one in acts[:8]] == [
        (f"user {word}", outcome)
        for word in ("add", "reset", "role", "remove") for outcome in ("begun", "done")
    ]  # fmt: skip
    assert all(one["who"].endswith("(at the machine)") for one in acts)
    assert {one["outcome"] for one in acts[8:]} == {"begun", "E-ACCOUNT-UNKNOWN"}
    assert "user role" in side("user", "log").out


def test_what_is_shown_once_is_shown_to_people_too(side: Shell) -> None:
    out = side("user", "add", "anna", "--role", "marketer", "--password-file", "word").out
    assert "otpauth://totp/" in out
    assert "Recovery codes" in out
    assert len([line for line in out.splitlines() if line.startswith("  ")]) == 8


def test_a_password_is_asked_for_twice_at_a_terminal_and_is_no_argument(
    side: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = side.refused("user", "add", "anna", "--role", "auditor", status=2)
    assert (error["code"], "no terminal" in error["message"]) == ("E-PASSWORD", True)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    typed = iter(["correct horse battery", "another", "correct horse battery",
                  "correct horse battery"])  # fmt: skip
    monkeypatch.setattr(commands.getpass, "getpass", lambda _: next(typed))
    done = side("user", "add", "anna", "--role", "auditor")
    assert "not the same" in done.err
    assert side("user", "add", "anna", "--role", "auditor").code == 0


def test_a_file_that_others_may_read_holds_no_password(side: Shell, tmp_path: Path) -> None:
    (tmp_path / "word").chmod(0o644)
    error = side.refused(
        "user", "add", "anna", "--role", "auditor", "--password-file", "word", status=3
    )
    assert error["code"] == "E-KEY-MODE"
    (tmp_path / "word").chmod(0o600)
    (tmp_path / "word").write_bytes(b"\xff" * 20)
    error = side.refused(
        "user", "add", "anna", "--role", "auditor", "--password-file", "word", status=2
    )
    assert error["code"] == "E-PASSWORD"


def test_a_terminal_shows_the_second_factor_as_a_picture(
    side: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    out = side("user", "add", "anna", "--role", "marketer", "--password-file", "word").out
    assert "█" in out or "▀" in out


def test_accounts_are_in_backups(side: Shell, tmp_path: Path) -> None:
    side.json("user", "add", "anna", "--role", "auditor", "--password-file", "word")
    side.json("state", "backup", "backup.zip")
    (tmp_path / "ca.pem").unlink()
    side.json("state", "restore", "backup.zip", "--elsewhere", "--dir", "other")
    word = tmp_path / "side" / "keys" / "passphrase"  # no backup has it
    if word.exists() and not (kept := tmp_path / "other" / "keys" / "passphrase").exists():
        kept.write_bytes(word.read_bytes())
        kept.chmod(0o600)
    found = side.json("user", "list", "--dir", "other")["accounts"]
    assert [one["name"] for one in found] == ["anna"]
    (file,) = (tmp_path / "other").rglob("accounts.db")
    assert file.stat().st_mode & 0o777 == 0o600


def test_an_empty_log_says_so() -> None:
    assert acts_table([]) == "Nobody has done anything yet."


# --- whom a provider vouches for -----------------------------------------------------------------


def test_without_a_provider_nobody_is_vouched_for(side: Shell) -> None:
    error = side.refused("user", "add", "anna", "--role", "auditor", "--oidc", "u-1", status=2)
    assert (error["code"], "write [console.oidc]" in error["remedy"]) == ("E-OIDC-NONE", True)
    assert side.json("user", "list") == {"accounts": []}


def test_an_account_may_be_of_a_person_at_a_provider(side: Shell, tmp_path: Path) -> None:
    file = tmp_path / "side" / f"{side.program.removeprefix('fedseg-')}.toml"
    lines = 'oidc = { issuer = "https://login.example", client_id = "fedseg" }'
    file.write_text(file.read_text().replace("[console]\n", f"[console]\n{lines}\n"))
    words = ("user", "add", "anna", "--role", "auditor", "--oidc")
    made = side.json(*words, "u-4711")
    identity = {"issuer": "https://login.example", "subject": "u-4711"}
    assert (made["identity"], "otpauth" in made) == (identity, False)
    (one,) = side.json("user", "list")["accounts"]
    assert one["identity"] == identity
    out = "".join(side("user", "list").out.replace("│", "").split())
    assert "u-4711" in out
    taken = ("user", "add", "bernd", "--role", "auditor", "--oidc", "u-4711")
    assert side.refused(*taken, status=2)["code"] == "E-ACCOUNT-EXISTS"
    assert side.refused(*words, "u-4712", status=2)["code"] == "E-ACCOUNT-EXISTS"
    for wrong in ("", "ü", "x" * 256):
        assert side.refused("user", "add", "c", "--role", "auditor", "--oidc", wrong, status=2)
    both = ("user", "add", "c", "--role", "auditor", "--oidc", "u-9", "--password-file", "word")
    assert side.refused(*both, status=2)["code"] == "E-USAGE"
    reset = side.refused("user", "reset", "anna", "--password-file", "word", status=2)
    assert reset["code"] == "E-ACCOUNT-VOUCHED"
    assert side.json("user", "role", "anna", "marketer")["role"] == "marketer"
