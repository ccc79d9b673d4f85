"""`user add|list|role|reset|remove|log`, the same at both sides."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from machine.accounts.accounts import Accounts, Enrolment, is_subject
from machine.accounts.acts import Act, at_the_machine
from machine.accounts.roles import Role
from machine.accounts.second_factor import enrolment_url
from machine.console import Format, FormatOption, Verbatim, output
from machine.private_files import read_private_file
from machine.tables import folding_table
from machine.text import minute, shown
from protocol.errors import UsageError

HELP: Final = "People who use the console: their accounts and roles, and what they did."

Name = Annotated[str, typer.Argument(help="Whom it is about, like anna.berg.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(help="File with the password, mode 0600; asked for when left out."),
]
RoleOption = Annotated[Role, typer.Option("--role", help="What the person may see and do.")]


def user_commands(
    opened: Callable[[Path], Accounts],
    *,
    here: Path,
    variable: str,
    side: str,
    issuer: Callable[[Path], str | None] = lambda _: None,
) -> typer.Typer:
    """The commands of one side.

    Args:
        opened: Opens the accounts of a side's folder.
        here: The folder where none is named.
        variable: The environment variable that may name it.
        side: What authenticators call this side, after the name of its folder.
        issuer: Gives the identity provider of a side's folder; None where there is none.
    """
    app = typer.Typer(help=HELP, no_args_is_help=True)
    folder = typer.Option(here, "--dir", envvar=variable, help=f"The {side}'s folder.")

    @app.command("add")
    def add(
        name: Name,
        role: RoleOption,
        password_file: PasswordFile = None,
        oidc: Annotated[
            str | None,
            typer.Option(
                help="Instead of a password: what the identity provider of \\[console.oidc] calls "
                "the person (the claim sub)."
            ),
        ] = None,
        directory: Path = folder,
        format: Format = FormatOption,
    ) -> None:
        """Make an account; shows the second factor and recovery codes, once."""
        if oidc is not None:
            _add_vouched(opened(directory), name, role, issuer(directory), oidc, password_file)
            return
        accounts = opened(directory)
        password = _password(password_file)
        with accounts.acts.noted(at_the_machine(), "user add", f"{name} as {role}", _now()):
            enrolment = accounts.add(name, role, password, _now())
        _tell(enrolment, f"Made the account {name}, {role}.", _label(side, directory))

    @app.command("list")
    def list_accounts(directory: Path = folder, format: Format = FormatOption) -> None:
        """Every account, with its role."""
        found = opened(directory).all()
        table = folding_table("name", "role", "signs in by", "made", "changed", title="Accounts")
        for account in found:
            made, changed = minute(account.made_at), minute(account.changed_at)
            by = "password" if account.identity is None else shown(" as ".join(account.identity))
            table.add_row(account.name, account.role, by, made, changed)
        output.result(
            {"accounts": [account.to_dict() for account in found]},
            table if found else "There is no account yet: user add NAME --role ROLE.",
        )

    @app.command("role")
    def role(
        name: Name,
        role: Annotated[Role, typer.Argument(help="The new role.")],
        directory: Path = folder,
        format: Format = FormatOption,
    ) -> None:
        """Give somebody another role; ends the account's sessions."""
        accounts = opened(directory)
        with accounts.acts.noted(at_the_machine(), "user role", f"{name} to {role}", _now()):
            account = accounts.change_role(name, role, _now())
        output.result(account.to_dict(), f"{name} is {role} now; sessions under it have ended.")

    @app.command("reset")
    def reset(
        name: Name,
        password_file: PasswordFile = None,
        directory: Path = folder,
        format: Format = FormatOption,
    ) -> None:
        """Set a new password and second factor; ends the account's sessions."""
        accounts = opened(directory)
        accounts.get(name)
        password = _password(password_file)
        with accounts.acts.noted(at_the_machine(), "user reset", name, _now()):
            enrolment = accounts.reset(name, password, _now())
        _tell(enrolment, f"Set the password of {name} anew.", _label(side, directory))

    @app.command("remove")
    def remove(name: Name, directory: Path = folder, format: Format = FormatOption) -> None:
        """Delete an account and end its sessions; the log keeps what it did."""
        accounts = opened(directory)
        with accounts.acts.noted(at_the_machine(), "user remove", name, _now()):
            account = accounts.remove(name)
        output.result(account.to_dict(), f"Removed the account {name}.")

    @app.command("log")
    def log(directory: Path = folder, format: Format = FormatOption) -> None:
        """Who did what and when; fails where an entry was changed or taken out."""
        found = opened(directory).acts.all()
        output.result({"acts": [act.to_dict() for act in found]}, acts_table(found))

    return app


def _add_vouched(
    accounts: Accounts,
    name: str,
    role: Role,
    issuer: str | None,
    subject: str,
    password_file: Path | None,
) -> None:
    if issuer is None:
        raise UsageError(
            "there is no identity provider here",
            code="E-OIDC-NONE",
            remedy="write [console.oidc] into the configuration first (docs/console.md)",
        )
    if password_file is not None or not is_subject(subject):
        raise UsageError(
            f"--oidc {subject!r}: 1 to 255 printable letters of ASCII, and no password beside it",
            remedy="give what the provider has as the claim sub of the person",
        )
    with accounts.acts.noted(at_the_machine(), "user add", f"{name} as {role}, vouched", _now()):
        account = accounts.add_vouched(name, role, issuer=issuer, subject=subject, now=_now())
    output.result(
        account.to_dict(),
        f"Made the account {name}, {role}: {issuer} says who signs in as {shown(subject)}.",
    )


def acts_table(acts: list[Act]) -> object:
    """Entries of the log, newest first."""
    if not acts:
        return "Nobody has done anything yet."
    table = folding_table("no.", "when", "who", "what", "about", "outcome", title="Log")
    for one in reversed(acts):
        table.add_row(
            str(one.number), minute(one.at), shown(one.who), one.act, shown(one.about),
            one.outcome if one.outcome == "begun" else f"{one.outcome} ({one.began})",
        )  # fmt: skip
    return table


def _tell(enrolment: Enrolment, line: str, side: str) -> None:
    import segno

    name = enrolment.account.name
    url = enrolment_url(enrolment.secret, name=name, side=side)
    values = {
        **enrolment.account.to_dict(),
        "otpauth": url,
        "recovery_codes": list(enrolment.recovery_codes),
    }
    terminal = output.format is Format.TEXT and sys.stdout.isatty()
    output.result(
        values,
        line,
        "Second factor, for an authenticator such as those of telephones; shown only now:",
        Verbatim(url),
    )
    if terminal:
        segno.make(url).terminal(out=sys.stdout, compact=True)
    if output.format is Format.TEXT:
        output.result(
            values,
            "Recovery codes, each good once in place of a code; keep them apart from the password:",
            Verbatim("\n".join(f"  {code}" for code in enrolment.recovery_codes)),
        )


def _label(side: str, directory: Path) -> str:
    return f"fedseg {side} {directory.absolute().name}"


def _password(file: Path | None) -> str:
    """The password, from a file or from a person who types it twice; raises UsageError."""
    if file is not None:
        data = read_private_file(file, check_folder=False)
        try:
            return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            pass
        raise UsageError(f"{file} is not UTF-8", code="E-PASSWORD", remedy="write it as UTF-8")
    if not sys.stdin.isatty():
        raise UsageError(
            "there is no terminal to ask for the password",
            code="E-PASSWORD",
            remedy="name a file of mode 0600 with it: --password-file",
        )
    first = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != first:
        raise UsageError("the two are not the same", code="E-PASSWORD", remedy="try again")
    return first


def _now() -> datetime:
    return datetime.now(UTC)
