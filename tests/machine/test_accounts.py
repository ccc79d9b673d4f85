"""Accounts: what is taken, what is kept, what proves a person, and how guessing is slowed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from machine.accounts import accounts as accounts_module
from machine.accounts.accounts import Account, Accounts
from machine.accounts.acts import BEGUN, DONE, person_of
from machine.accounts.guessing import FREE_OF_ADDRESS, FREE_OF_NAME
from machine.accounts.passwords import MIN_CHARACTERS, Passwords
from machine.accounts.roles import ALLOWED, Permission, Role
from machine.accounts.sessions import IDLE, LONGEST, Session, Sessions
from protocol.errors import FedsegError, RuleError, StoreError, UsageError
from tests.machine.people import NOW, PASSWORD, accounts_at, add, cheap_passwords, code_of

S30 = timedelta(seconds=30)


@pytest.fixture
def accounts() -> Iterator[Accounts]:
    opened = accounts_at()
    yield opened
    opened.close()


@pytest.fixture
def sessions(accounts: Accounts) -> Sessions:
    return Sessions(accounts, issuer=None)


def sign_in(
    sessions: Sessions, code: str, *, name: str = "anna", password: str = PASSWORD,
    address: str = "127.0.0.1", now=NOW,
) -> Session:  # fmt: skip
    return sessions.sign_in(name, password, code, address=address, now=now)


def fails(sessions: Sessions, code: str = "000000", **how) -> FedsegError:
    with pytest.raises(RuleError) as refused:
        sign_in(sessions, code, **how)
    return refused.value


# --- accounts ------------------------------------------------------------------------------------


def test_the_file_is_closed_to_others_and_has_no_password(tmp_path: Path) -> None:
    path = tmp_path / "accounts.db"
    opened = accounts_at(path)
    add(opened)
    opened.close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert PASSWORD.encode() not in path.read_bytes()


def test_what_encrypts_secrets_is_asked_and_the_file_has_no_secret(tmp_path: Path) -> None:
    class Mirror:
        def seal(self, plain: bytes, context: bytes) -> bytes:
            return context + plain[::-1]

        def unseal(self, sealed: bytes, context: bytes) -> bytes:
            return sealed.removeprefix(context)[::-1]

    path = tmp_path / "accounts.db"
    opened = accounts_at(path, Mirror())
    enrolment = add(opened)
    assert opened.prove("anna", PASSWORD, code_of(enrolment), NOW) is not None
    opened.close()
    data = path.read_bytes()
    assert enrolment.secret.encode() not in data
    assert all(code.encode() not in data for code in enrolment.recovery_codes)


def test_a_password_is_kept_as_argon2id_at_the_cost_of_the_rfc() -> None:
    kept = Passwords().hashed(PASSWORD)
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


@pytest.mark.parametrize("password", ["", "x" * (MIN_CHARACTERS - 1), "x" * 1_025])
def test_a_password_that_is_too_short_or_too_long_is_refused(
    accounts: Accounts, password: str
) -> None:
    with pytest.raises(UsageError, match="E-PASSWORD"):
        accounts.add("anna", Role.AUDITOR, password, NOW)
    assert accounts.all() == []


@pytest.mark.parametrize("name", ["", "Anna", "a b", "<b>", "x" * 65, ".anna", "anna\n"])
def test_what_is_no_name_is_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(UsageError, match="E-ACCOUNT-NAME"):
        accounts.add(name, Role.AUDITOR, PASSWORD, NOW)


def test_a_name_is_given_once_and_a_removed_ones_number_never_again(accounts: Accounts) -> None:
    first = add(accounts).account
    with pytest.raises(UsageError, match="E-ACCOUNT-EXISTS"):
        add(accounts)
    accounts.remove("anna")
    assert add(accounts).account.id != first.id
    for act in (lambda: accounts.get("bert"), lambda: accounts.remove("bert"),
                lambda: accounts.change_role("bert", Role.AUDITOR, NOW),
                lambda: accounts.reset("bert", PASSWORD, NOW)):  # fmt: skip
        with pytest.raises(UsageError, match="E-ACCOUNT-UNKNOWN"):
            act()


# --- signing in ----------------------------------------------------------------------------------


def test_password_and_code_begin_a_session(accounts: Accounts, sessions: Sessions) -> None:
    code = code_of(add(accounts))
    session = sign_in(sessions, code, name=" Anna ")
    found = sessions.of(session.token, NOW)
    assert found is not None
    assert (found.account.name, found.account.role) == ("anna", Role.APPROVER)
    kept = repr(accounts.database.ask("SELECT * FROM sessions"))
    assert session.token not in kept
    sessions.end(session.token)
    assert sessions.of(session.token, NOW) is None


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_a_clock_may_be_off_by_a_step(accounts: Accounts, sessions: Sessions, off: int) -> None:
    sign_in(sessions, code_of(add(accounts), NOW + off * S30))


@pytest.mark.parametrize("off", [-2, 2])
def test_a_code_of_another_time_is_wrong(accounts: Accounts, sessions: Sessions, off: int) -> None:
    assert fails(sessions, code_of(add(accounts), NOW + off * S30)).code == "E-SIGN-IN"


def test_a_code_is_good_once_and_so_is_an_older_one(accounts: Accounts, sessions: Sessions) -> None:
    enrolment = add(accounts)
    sign_in(sessions, code_of(enrolment))
    assert fails(sessions, code_of(enrolment)).code == "E-SIGN-IN"
    assert fails(sessions, code_of(enrolment, NOW - S30)).code == "E-SIGN-IN"
    sign_in(sessions, code_of(enrolment, NOW + S30), now=NOW + S30)


def test_a_recovery_code_is_good_once(accounts: Accounts, sessions: Sessions) -> None:
    first, second, *_ = add(accounts).recovery_codes
    sign_in(sessions, first.lower().replace("-", " "))
    assert fails(sessions, first).code == "E-SIGN-IN"
    sign_in(sessions, second)


def test_a_wrong_password_uses_no_code_up(accounts: Accounts, sessions: Sessions) -> None:
    enrolment = add(accounts)
    fails(sessions, code_of(enrolment), password="another password")
    sign_in(sessions, code_of(enrolment))


def test_nothing_tells_whether_there_is_an_account(
    accounts: Accounts, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = code_of(add(accounts))
    compared: list[str] = []
    hashes: list[str] = []
    step_of, hasher = accounts_module.step_of, accounts._passwords._hasher

    class Counted:
        def verify(self, kept: str, password: str) -> bool:
            hashes.append(kept)
            return hasher.verify(kept, password)

        def hash(self, password: str) -> str:
            return hasher.hash(password)

    def counted(code: str, secret: str, now):
        compared.append(secret)
        return step_of(code, secret, now)

    monkeypatch.setattr(accounts_module, "step_of", counted)
    monkeypatch.setattr(accounts._passwords, "_hasher", Counted())
    said = {
        (error.code, error.message, error.remedy)
        for error in (
            fails(sessions, code, name="nobody"),
            fails(sessions, code, password="another password"),
            fails(sessions, "111111"),
            fails(sessions, "ABCD-EFGH-ABCD-EFGH"),
        )
    }
    assert len(said) == 1
    assert (len(hashes), len(compared)) == (4, 4)


def test_nobodys_hash_lets_nobody_in() -> None:
    assert not cheap_passwords().fits("", None)


# --- guessing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["anna", "nobody"])
def test_after_some_failures_the_waits_of_a_name_grow(
    accounts: Accounts, sessions: Sessions, name: str
) -> None:
    enrolment = add(accounts)
    for number in range(FREE_OF_NAME + 1):
        assert fails(sessions, name=name, address=f"10.0.0.{number}").code == "E-SIGN-IN"
    at = NOW
    for wait_s in (2, 4, 8):
        early = fails(sessions, code_of(enrolment, at), name=name, address="10.1.0.1", now=at)
        assert (early.code, f"in {wait_s} seconds" in early.message) == ("E-SIGN-IN-WAIT", True)
        assert "user reset" in early.remedy
        at += timedelta(seconds=wait_s)
        assert fails(sessions, name=name, address="10.1.0.2", now=at).code == "E-SIGN-IN"
    at += timedelta(seconds=16)
    if name == "anna":
        sign_in(sessions, code_of(enrolment, at), now=at)
        assert fails(sessions, now=at).code == "E-SIGN-IN"


def test_many_guesses_at_once_are_as_limited_as_one_after_the_other(
    accounts: Accounts, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(accounts)
    prove, alone = accounts.prove, []

    def noted(*words: Any) -> Account | None:
        alone.append(sessions._one.locked())
        return prove(*words)

    monkeypatch.setattr(accounts, "prove", noted)
    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda _: fails(sessions).code, range(48)))
    assert codes.count("E-SIGN-IN") == FREE_OF_NAME + 1
    assert codes.count("E-SIGN-IN-WAIT") == 48 - FREE_OF_NAME - 1
    assert all(alone)


def test_an_address_waits_whatever_names_it_tries(accounts: Accounts, sessions: Sessions) -> None:
    enrolment = add(accounts)
    for number in range(FREE_OF_ADDRESS + 1):
        fails(sessions, name=f"name-{number}")
    refused = fails(sessions, code_of(enrolment))
    assert refused.code == "E-SIGN-IN-WAIT"
    assert "user reset" not in refused.remedy, "it forgets a name, never an address"
    sign_in(sessions, code_of(enrolment), address="10.0.0.1")


def test_the_longest_wait_is_a_quarter_of_an_hour(accounts: Accounts, sessions: Sessions) -> None:
    with accounts.database.transaction():
        for _ in range(60):
            accounts.guessing.failed("anna", "10.0.0.1", NOW)
    assert "in 900 seconds" in fails(sessions).message
    later = NOW + timedelta(seconds=900)
    assert fails(sessions, now=later).code == "E-SIGN-IN"


def test_names_that_were_tried_are_not_remembered_without_end(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("machine.accounts.guessing._MOST_REMEMBERED", 10)
    with accounts.database.transaction():
        for number in range(50):
            accounts.guessing.failed(f"name-{number}", f"10.0.0.{number}", NOW)
    assert accounts.database.ask("SELECT count(*) FROM failures") == [(10,)]
    with accounts.database.transaction():
        accounts.guessing.failed("anna", "10.0.0.1", NOW + timedelta(days=2))
    assert accounts.database.ask("SELECT count(*) FROM failures") == [(2,)]


# --- sessions ------------------------------------------------------------------------------------


def test_a_session_ends_when_nothing_is_asked(accounts: Accounts, sessions: Sessions) -> None:
    token = sign_in(sessions, code_of(add(accounts))).token
    at = NOW + IDLE - S30
    assert sessions.of(token, at) is not None
    assert sessions.of(token, at + IDLE - S30) is not None
    assert sessions.of(token, at + 2 * IDLE - S30) is None
    assert accounts.database.ask("SELECT * FROM sessions") == []


def test_a_page_that_renews_itself_keeps_nobody_signed_in(
    accounts: Accounts, sessions: Sessions
) -> None:
    token = sign_in(sessions, code_of(add(accounts))).token
    assert sessions.of(token, NOW + IDLE / 2, seen=False) is not None
    assert sessions.of(token, NOW + IDLE, seen=False) is None


def test_a_session_ends_after_its_longest_time(accounts: Accounts, sessions: Sessions) -> None:
    token = sign_in(sessions, code_of(add(accounts))).token
    at = NOW
    while at < NOW + LONGEST - IDLE / 2:
        at += IDLE / 2
        assert sessions.of(token, at) is not None
    assert sessions.of(token, NOW + LONGEST) is None


@pytest.mark.parametrize("change", ["role", "reset", "remove"])
def test_a_session_ends_when_the_account_changes(
    accounts: Accounts, sessions: Sessions, change: str
) -> None:
    token = sign_in(sessions, code_of(add(accounts))).token
    match change:
        case "role":
            accounts.change_role("anna", Role.AUDITOR, NOW)
        case "reset":
            accounts.reset("anna", "another password", NOW)
        case _:
            accounts.remove("anna")
    assert sessions.of(token, NOW) is None


def test_after_a_reset_only_the_new_password_and_factor_prove(
    accounts: Accounts, sessions: Sessions
) -> None:
    before = add(accounts)
    after = accounts.reset("anna", "another password", NOW)
    assert fails(sessions, code_of(after)).code == "E-SIGN-IN"
    for code in (code_of(before), before.recovery_codes[0]):
        assert fails(sessions, code, password="another password").code == "E-SIGN-IN"
    sign_in(sessions, code_of(after), password="another password")


def test_a_password_that_is_set_anew_meanwhile_begins_no_session(
    accounts: Accounts, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = code_of(add(accounts))
    fits = accounts._passwords.fits

    def slow(password: str, kept: str | None) -> bool:
        accounts.reset("anna", "another password", NOW + S30)
        return fits(password, kept)

    monkeypatch.setattr(accounts._passwords, "fits", slow)
    assert fails(sessions, code).code == "E-SIGN-IN"


def test_an_account_that_changes_meanwhile_begins_no_session(
    accounts: Accounts, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = code_of(add(accounts))
    prove = accounts.prove

    def changed(*words: Any) -> Account | None:
        proved = prove(*words)
        accounts.change_role("anna", Role.AUDITOR, NOW + S30)
        return proved

    monkeypatch.setattr(accounts, "prove", changed)
    assert fails(sessions, code).code == "E-SIGN-IN"
    assert accounts.database.ask("SELECT * FROM sessions") == []


# --- roles and log -------------------------------------------------------------------------------


def test_every_role_is_in_the_table_and_every_permission_is_somebodys() -> None:
    assert set(ALLOWED) == set(Role)
    assert frozenset().union(*ALLOWED.values()) == set(Permission)


def test_an_auditor_only_reads_and_a_marketer_has_segments_alone() -> None:
    assert all(one.startswith("read") for one in ALLOWED[Role.AUDITOR])
    assert ALLOWED[Role.MARKETER] == {
        Permission.READ_SEGMENTS, Permission.COUNT_REACH, Permission.READ_FILES,
        Permission.EXPORT_SEGMENTS, Permission.CONFIRM_EXPORTS, Permission.READ_RELEASES,
    }  # fmt: skip


def test_an_act_is_noted_before_and_its_outcome_after(accounts: Accounts) -> None:
    acts = accounts.acts
    with acts.noted("anna", "egress approve", "3", NOW):
        assert [one.outcome for one in acts.all()] == [BEGUN]
    with pytest.raises(RuleError), acts.noted("anna", "egress refuse", "4", NOW):
        raise RuleError("no", code="E-EGRESS-DECIDED")
    with pytest.raises(ZeroDivisionError), acts.noted("anna", "x", "", NOW):
        raise ZeroDivisionError
    said = [(one.number, one.act, one.outcome, one.began) for one in acts.all()]
    assert said == [
        (1, "egress approve", BEGUN, 1), (2, "egress approve", DONE, 1),
        (3, "egress refuse", BEGUN, 3), (4, "egress refuse", "E-EGRESS-DECIDED", 3),
        (5, "x", BEGUN, 5), (6, "x", "E-INTERNAL", 5),
    ]  # fmt: skip


def test_an_account_of_the_machine_is_the_same_person_in_whatever_letters() -> None:
    assert person_of("Anna (at the machine)") == person_of("anna")
    assert person_of("Anna (at the machine)") != person_of("anne (at the machine)")


def test_an_outcome_that_cannot_be_noted_fails_nothing_that_was_done(
    accounts: Accounts, caplog: pytest.LogCaptureFixture
) -> None:
    full = "CREATE TRIGGER full BEFORE INSERT ON acts BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    done = []
    with accounts.acts.noted("anna", "key rotate", "", NOW):
        accounts.database.ask(full)
        done.append("key rotate")
    assert done and "key rotate (1), done, is not in the log" in caplog.text
    accounts.database.ask("DROP TRIGGER full")
    with (
        pytest.raises(RuleError, match="E-EGRESS-DECIDED"),
        accounts.acts.noted("anna", "egress refuse", "4", NOW),
    ):
        accounts.database.ask(full)
        raise RuleError("no", code="E-EGRESS-DECIDED")
    with pytest.raises(StoreError), accounts.acts.noted("anna", "x", "", NOW):
        done.append("x")
    assert done == ["key rotate"], "in a console nothing is done that is not noted first"
    assert [one.outcome for one in accounts.acts.all()] == [BEGUN, BEGUN]


@pytest.mark.parametrize(
    "change",
    ["UPDATE acts SET who = 'bert' WHERE number = 2", "DELETE FROM acts WHERE number = 1",
     "DELETE FROM acts WHERE number = 2"],
)  # fmt: skip
def test_an_entry_that_was_changed_or_taken_out_is_noticed(accounts: Accounts, change: str) -> None:
    for about in ("1", "2"):
        with accounts.acts.noted("anna", "egress approve", about, NOW):
            pass
    accounts.database.ask(change)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="E-LOG-CHANGED"):
        accounts.acts.all()
