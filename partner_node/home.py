"""A node's folder: access to its configuration, keys, agreement, state and data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from machine.files import make_folder_for_owner
from machine.locks import held
from partner_node.agreement_files import read_agreement
from partner_node.config.node_config import NodeConfig
from partner_node.four_eyes import People
from partner_node.hand_overs import FILE_NAME as HAND_OVERS_FILE
from partner_node.hand_overs import KnownHandOvers
from partner_node.kept_room import KEPT_PART, KeptRoom
from partner_node.keystore import Keystore
from partner_node.notices.published import Publications
from partner_node.open_keys import OpenKeys
from partner_node.register.requests import RightsRegister
from partner_node.state_file import open_state
from partner_node.store.node_store import NodeStore
from partner_node.store.staff import Staff
from protocol.agreement.document import Agreement
from protocol.agreement.hand_overs import NONE
from protocol.agreement.parties import Party
from protocol.errors import AgreementError, ConfigError, UsageError
from protocol.signed_agreement import SignedAgreement

if TYPE_CHECKING:
    from machine.accounts.accounts import Accounts, Seal
    from partner_node.consent.gate import ConsentGate
    from partner_node.consent.local_rules import LocalRules
    from partner_node.customers.source_customers import Scores, SourceCustomers

T = TypeVar("T")

# Modules that read customers are imported where they are used: most commands read none.

FILE_NAME: Final = "node.toml"
STATE_FILE: Final = "node.db"
#: Says when the last backup was written.
BACKUP_NOTE: Final = "last-backup"
ACCOUNTS_FILE: Final = "accounts.db"
#: Whoever looks whether a process serves holds its lock for less.
_LOOKED_AT_S: Final = 1.0
CARD_FILE: Final = "partner-card.json"
#: Held in the folder of the keys by whoever changes the key store.
_CHANGING: Final = "changing.lock"
_CHANGED_S: Final = 10.0
PASSPHRASE_FILE: Final = "keys/passphrase"  # noqa: S105  # a file's name


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHome:
    """One node's folder, as one of its agreements has it.

    Attributes:
        config: The configuration; under `section`, what holds under that agreement.
        section: The id of the agreement with a section of its own in the configuration; empty for
            the agreement of ``[node]``.
    """

    directory: Path
    config: NodeConfig
    section: str = ""
    _opened: list[OpenKeys] = field(default_factory=list, repr=False, compare=False)
    _rooms: list[KeptRoom] = field(default_factory=list, repr=False, compare=False)

    @staticmethod
    def load(directory: Path, *, keys: OpenKeys | None = None) -> NodeHome:
        """Read the folder's configuration; raises ConfigError.

        Args:
            keys: The folder's, as this process has them open; None where it has not.
        """
        return NodeHome(
            directory=directory,
            config=NodeConfig.load(directory / FILE_NAME),
            _opened=[] if keys is None else [keys],
        )

    def current(self) -> NodeHome:
        """The folder as its configuration is now; keys that this process has open stay open.

        Raises:
            ConfigError: The configuration cannot be read.
        """
        if not self._opened:
            self._opened.append(OpenKeys())
        return NodeHome.load(self.directory, keys=self._opened[0])

    def as_it_stands(self) -> NodeHome:
        """As `current`; as it was before while the configuration cannot be read."""
        try:
            return self.current()
        except ConfigError:
            return self

    def under(self, agreement_id: str) -> NodeHome:
        """The folder as an agreement has it: its own section, or else that of ``[node]``."""
        section = agreement_id if agreement_id in self.config.agreements else ""
        return self if section == self.section else self._at(section)

    def places(self) -> tuple[NodeHome, ...]:
        """The folder as each agreement has it that may be in force here; ``[node]`` first."""
        return tuple(map(self._at, ("", *self.config.agreements)))

    def in_force(self) -> tuple[NodeHome, ...]:
        """Those of `places` where an agreement is; none before the first.

        Raises:
            AgreementError: One agreement is in two places (E-AGR-TWICE).
        """
        return tuple(place for place in self.places() if place.agreement_here() is not None)

    def agreement_here(self) -> Agreement | None:
        """The agreement in force at this place, signatures unchecked; None when none can be read.

        Raises:
            AgreementError: It has another place too (E-AGR-TWICE); or as `installed_agreement`.
        """
        agreement = self.installed_agreement()
        own = None if agreement is None else self.config.agreements.get(agreement.id)
        if own is not None and not self.section:
            raise AgreementError(
                f"{self.config.node.agreement} has agreement {own.id}, which has a section of its "
                f"own in {self.config.file.name}, [agreements.{own.id}]",
                code="E-AGR-TWICE",
                remedy=f"move the file to {own.file}, or delete that section",
            )
        return agreement

    def agreements_in_force(self) -> list[Agreement]:
        """The agreements of those places; raises as `in_force` and `signed_agreement`."""
        return [place.signed_agreement().agreement for place in self.in_force()]

    def chosen(self, agreement_id: str | None) -> NodeHome:
        """The place of the agreement that a command is about.

        Args:
            agreement_id: None for the only one in force, or the one that belongs to ``[node]``.

        Raises:
            UsageError: It is not in force (E-AGR-UNKNOWN), or several are and none was named
                (E-AGR-WHICH).
        """
        in_force = self.in_force()
        ids = [place.signed_agreement().agreement.id for place in in_force]
        if agreement_id is None:
            if len(ids) > 1:
                raise UsageError(
                    f"several agreements are in force here: {', '.join(ids)}",
                    code="E-AGR-WHICH",
                    remedy="name the one that is meant: --under ID",
                )
            return self.main()
        if agreement_id not in ids:
            raise UsageError(
                f"no agreement {agreement_id!r} is in force here",
                code="E-AGR-UNKNOWN",
                remedy=f"in force: {', '.join(ids) or 'none'}",
            )
        return in_force[ids.index(agreement_id)]

    def has_place_for(self, agreement_id: str) -> bool:
        """Whether this is the place of an agreement, whether it is in force or not."""
        return self.under(agreement_id).section == self.section

    @property
    def agreement_files(self) -> tuple[Path, ...]:
        """Where each agreement belongs; that of ``[node]`` first."""
        return tuple(place.config.node.agreement for place in self.places())

    @property
    def watched_files(self) -> tuple[Path, ...]:
        """The files whose replacement a serving node takes up.

        Agreements; the configuration, which says whose consent counts; and what says which signing
        key is in force (`OpenKeys`): the key store, the hand-overs and the card.
        """
        return (
            *self.agreement_files,
            self.config.file,
            self.config.keys.store,
            self.hand_overs_file,
            self.directory / CARD_FILE,
        )

    @property
    def is_filled(self) -> bool:
        """Whether there is a file where the agreement belongs."""
        return self.config.node.agreement.exists()

    @property
    def awaited(self) -> str:
        """How the agreement gets to its place."""
        if self.config.coordinator.control is None:
            return "put the agreement with every signature there: fedseg-node agreement install"
        return (
            "once every party has signed, a serving node takes it up by itself: fedseg-node "
            "agreement proposals; a file by hand: fedseg-node agreement install"
        )

    def filled(self) -> tuple[NodeHome, ...]:
        """Those of `places` with a file, whether it is an agreement or not; `main` without any."""
        return tuple(p for p in self.places() if p.is_filled) or (self.main(),)

    def all_are_read(self) -> bool:
        """Whether every file that stands where an agreement belongs can be read as one."""
        return all(p.installed_agreement() is not None for p in self.places() if p.is_filled)

    def main(self) -> NodeHome:
        """The first of `in_force`; where nothing is in force, the folder as ``[node]`` has it."""
        return next(iter(self.in_force()), self._at(""))

    def _at(self, section: str) -> NodeHome:
        return replace(self, config=self.config.under(section), section=section)

    @property
    def keys_folder(self) -> Path:
        """The folder of the node's keys."""
        return self.config.keys.store.parent

    def keystore(self) -> Keystore:
        """The node's keys, as they are now; raises KeystoreError and StoreError.

        They are opened once per `NodeHome`, and again when they were replaced (`OpenKeys`).
        """
        if not self._opened:
            self._opened.append(OpenKeys())
        return self._opened[0].now(self.config, self.hand_overs, self.directory / CARD_FILE)

    def store(self, keystore: Keystore) -> NodeStore:
        """Open the node's state, made where there never was one; raises StoreError."""
        return open_state(
            self.state_file,
            self.keys_folder,
            keystore,
            folder=self.directory,
            party=self.config.node.partner,
        )

    def accounts(self) -> Accounts:
        """Open the accounts of people who use this node's console; raises StoreError."""
        return self._accounts(self.keystore())

    def roles_and_log(self) -> Accounts:
        """Open the accounts without the keys, for roles and the log alone; raises StoreError."""
        from machine.accounts.accounts import NoSeal

        return self._accounts(NoSeal())

    def people(self) -> People:
        """Whose words count at this node where two people have to do something."""
        oidc = self.config.oidc
        return People(self.roles_and_log, issuer=None if oidc is None else oidc.issuer)

    def _accounts(self, seal: Seal) -> Accounts:
        from machine.accounts.accounts import Accounts

        make_folder_for_owner(self.accounts_file.parent)
        return Accounts(self.accounts_file, seal)

    @property
    def accounts_file(self) -> Path:
        """The database of people's accounts."""
        return self.config.node.state / ACCOUNTS_FILE

    @property
    def state_file(self) -> Path:
        """The database of the node's state."""
        return self.config.node.state / STATE_FILE

    @property
    def backup_note(self) -> Path:
        """The file that says when the last backup was written."""
        return self.config.node.state / BACKUP_NOTE

    @property
    def serve_lock(self) -> Path:
        """The lock file that a serving process holds."""
        return self.config.node.state / "serve.lock"

    @property
    def hand_overs_file(self) -> Path:
        """The file with the hand-overs of keys that are known here."""
        return self.config.node.state / HAND_OVERS_FILE

    @property
    def hand_overs(self) -> KnownHandOvers:
        """The hand-overs of keys that are known here."""
        return KnownHandOvers(self.hand_overs_file)

    def with_keys(self, signed: SignedAgreement) -> SignedAgreement:
        """An agreement under the keys in force; as `Agreement.with_hand_overs`."""
        agreement = signed.agreement.with_hand_overs(self.hand_overs.load())
        return replace(signed, agreement=agreement)

    def with_fitting_keys(self, signed: SignedAgreement) -> SignedAgreement:
        """An agreement to read, under those hand-overs that go with it.

        One that is over may name a key under another partner's name than its hand-over does; what
        it said, and what was released under it, holds all the same.
        """
        agreement, fitting = signed.agreement, NONE
        for one in self.hand_overs.load():
            with suppress(AgreementError):
                more = fitting.with_one(one)
                agreement, fitting = signed.agreement.with_hand_overs(more), more
        return replace(signed, agreement=agreement)

    def signed_agreement(self) -> SignedAgreement:
        """The agreement named in the configuration, signed or not, under the keys in force.

        Raises:
            AgreementError: It is missing or invalid, or another than its section is for
                (E-AGR-OTHER); or as `with_keys`.
        """
        return self.with_keys(self._read())

    def _read(self) -> SignedAgreement:
        file = self.config.node.agreement
        if not file.exists():
            raise AgreementError(
                f"no agreement is in force here yet: {file} is missing",
                code="E-AGR-MISSING",
                remedy=self.awaited,
            )
        signed = read_agreement(file, remedy=self.awaited, kept=True)
        if self.section and signed.agreement.id != self.section:
            raise AgreementError(
                f"{file} has agreement {signed.agreement.id}, and stands under [agreements."
                f"{self.section}] in {self.config.file.name}",
                code="E-AGR-OTHER",
                remedy="give the agreement a section under its own id",
            )
        return signed

    def installed_agreement(self) -> Agreement | None:
        """The agreement in force here, signatures unchecked; None when none can be read.

        Raises:
            AgreementError: The hand-overs that are known do not go with it; as `with_keys`.
        """
        try:
            signed = self._read()
        except AgreementError:
            return None
        return self.with_keys(signed).agreement

    def party(self, agreement: Agreement) -> Party:
        """This partner in an agreement; raises AgreementError (E-AGR-PARTY)."""
        return agreement.parties[agreement.index_of_key(self.keystore().identity_public)]

    def gate(
        self, agreement: Agreement, party: Party, store: NodeStore | None = None
    ) -> ConsentGate:
        """The gate that decides which customers are eligible.

        Args:
            store: The node's state, which has the objections made here; opened if None.
        """

        from partner_node.consent.gate import ConsentGate
        from partner_node.sources.duckdb.sandbox import Sandbox

        def left_out() -> frozenset[str]:
            if store is not None:
                return RightsRegister(store).left_out()
            with closing(self.store(self.keystore())) as opened:
                return RightsRegister(opened).left_out()

        return ConsentGate(
            self.config.consent.sources,
            basis=party.legal_basis.basis,
            purpose=agreement.purpose.term,
            notices=self.config.consent.notices,
            max_age=timedelta(hours=agreement.consent.max_age_hours),
            children_under=agreement.excluded.children_under,
            youngest_customer=self.config.consent.youngest_customer,
            left_out=left_out,
            limits=Sandbox(
                memory_bytes=self.config.data.memory_bytes,
                threads=self.config.limits.threads,
                temp_folder=self.config.data.temp_folder,
                temp_bytes=self.config.limits.temp_bytes,
            ),
            room=self._kept_room(),
        )

    def _kept_room(self) -> KeptRoom:
        """The room of the folder for what is kept, which all of its agreements share."""
        if not self._rooms:
            self._rooms.append(KeptRoom(self.config.data.memory_bytes // KEPT_PART))
        return self._rooms[0]

    def rules(
        self, agreement: Agreement, party: Party, store: NodeStore | None = None
    ) -> LocalRules:
        """This partner's own checks before each answer; `store` as for `gate`."""
        from partner_node.consent.local_rules import LocalRules

        gate = self.gate(agreement, party, store)
        data = self.config.data

        def asked(look: Callable[[NodeStore], T]) -> T:
            if store is not None:
                return look(store)
            with closing(self.store(self.keystore())) as opened:
                return look(opened)

        return LocalRules(
            agreement,
            party,
            self.config.consent,
            gate,
            columns=data.columns,
            units=data.units,
            published=lambda: asked(lambda found: Publications(found).under(agreement.id)),
            staff=lambda: asked(lambda found: Staff(found).all()),
        )

    def customers(
        self,
        agreement: Agreement,
        gate: ConsentGate | None,
        *,
        scores: Scores | None = None,
        unique: bool = True,
    ) -> SourceCustomers:
        """The customers, with the agreed features; raises SourceError.

        Args:
            gate: Decides who is eligible; None for everybody, only to inspect the data.
            scores: Their answers to the agreed question; None where it is not asked.
            unique: Whether ids that occur twice are refused: always where a gate lets customers
                into a sum. One customer is looked up also where others are there twice.
        """
        if gate is not None and not unique:
            raise ValueError("who is counted is counted once")
        from partner_node.customers.kept_customers import KeptCustomers
        from partner_node.customers.source_customers import SourceCustomers
        from partner_node.sources.kinds import KINDS, open_source
        from partner_node.sources.own_rows import check_own_rows

        data = self.config.data
        if agreement.privacy is not None and data.query is not None:
            check_own_rows(data.query, data.id_column)
        return SourceCustomers(
            open_source(self.config.data, self.config.limits, unique=unique),
            agreement.features,
            columns=self.config.data.columns,
            chunk_rows=self.config.data.chunk_rows,
            gate=gate,
            scores=scores,
            # A view of a database may hang on the clock: it is asked before every question.
            keep=None if KINDS[data.kind].has_tables else KeptCustomers(self._kept_room()),
        )

    def levels_of(self, agreement: Agreement, subject: str) -> dict[str, str | None] | None:
        """One customer's exact texts of the features with levels.

        Returns:
            The text by the feature's name, None where it is missing; or None when the data have no
            such customer. Numeric features are not included.

        Raises:
            SourceError: The data cannot be read.
        """
        from partner_node.sources.kinds import open_source
        from partner_node.sources.text_table import texts_of

        data = self.config.data
        columns = {f.name: data.columns.get(f.name, f.name) for f in agreement.features if f.levels}
        if not columns:
            return {}
        texts = texts_of(
            open_source(data, self.config.limits, unique=False),
            subject,
            id_column=data.id_column,
            columns=list(columns.values()),
        )
        return None if texts is None else {name: texts[c] for name, c in columns.items()}

    def is_served(self) -> bool:
        """Whether a process serves the folder now."""
        if not self.serve_lock.exists():
            return False
        with held(self.serve_lock, shared=True) as ours:
            return not ours

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Lock the folder while the node serves; raises UsageError if another process holds it."""
        make_folder_for_owner(self.config.node.state)
        with held(self.serve_lock, wait_s=_LOOKED_AT_S) as ours:
            if not ours:
                raise UsageError(
                    f"another process serves {self.directory} already",
                    remedy="stop it first; one folder is one node",
                )
            yield


@contextmanager
def changing_keys(home: NodeHome) -> Iterator[None]:
    """Hold the lock of whoever changes the key store; raises UsageError."""
    with held(home.keys_folder / _CHANGING, wait_s=_CHANGED_S) as ours:
        if not ours:
            raise UsageError("another process changes this node's keys", remedy="try again")
        yield
