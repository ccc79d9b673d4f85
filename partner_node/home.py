"""A node's folder: access to its configuration, keys, agreement, state and data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from machine.locks import held
from partner_node.agreement_files import (
    read_agreement,
)
from partner_node.config.node_config import NodeConfig
from partner_node.keystore import Keystore, read_passphrase
from partner_node.register.requests import RightsRegister
from partner_node.state_file import open_state
from partner_node.store.node_store import NodeStore
from protocol.agreement.document import Agreement
from protocol.agreement.parties import Party
from protocol.errors import AgreementError, UsageError
from protocol.signed_agreement import SignedAgreement

if TYPE_CHECKING:
    from partner_node.consent.gate import ConsentGate
    from partner_node.consent.local_rules import LocalRules
    from partner_node.customers.source_customers import Scores, SourceCustomers

# Modules that read customers are imported where they are used: most commands read none.

FILE_NAME: Final = "node.toml"
STATE_FILE: Final = "node.db"
CARD_FILE: Final = "partner-card.json"
PASSPHRASE_FILE: Final = "keys/passphrase"  # noqa: S105  # a file's name


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHome:
    """One node's folder."""

    directory: Path
    config: NodeConfig
    _opened: list[Keystore] = field(default_factory=list, repr=False, compare=False)

    @staticmethod
    def load(directory: Path) -> NodeHome:
        """Read the folder's configuration; raises ConfigError."""
        return NodeHome(directory=directory, config=NodeConfig.load(directory / FILE_NAME))

    @property
    def keys_folder(self) -> Path:
        """The folder of the node's keys."""
        return self.config.keys.store.parent

    def keystore(self) -> Keystore:
        """The node's keys; raises KeystoreError.

        They are opened once per `NodeHome`, as deriving the key is slow on purpose.
        """
        if not self._opened:
            self._opened.append(Keystore.open(self.config.keys.store, home_passphrase(self.config)))
        return self._opened[0]

    def store(self, keystore: Keystore) -> NodeStore:
        """Open the node's state, made where there never was one; raises StoreError."""
        return open_state(self.state_file, self.keys_folder, keystore, folder=self.directory)

    @property
    def state_file(self) -> Path:
        """The database of the node's state."""
        return self.config.node.state / STATE_FILE

    @property
    def serve_lock(self) -> Path:
        """The lock file that a serving process holds."""
        return self.config.node.state / "serve.lock"

    def signed_agreement(self) -> SignedAgreement:
        """The agreement named in the configuration, signed or not; raises AgreementError."""
        return read_agreement(
            self.config.node.agreement,
            remedy="put the agreement with every signature there: fedseg-node agreement install",
            kept=True,
        )

    def installed_agreement(self) -> Agreement | None:
        """The agreement in force here, signatures unchecked; None when none can be read."""
        try:
            return self.signed_agreement().agreement
        except AgreementError:
            return None

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
        )

    def rules(
        self, agreement: Agreement, party: Party, store: NodeStore | None = None
    ) -> LocalRules:
        """This partner's own checks before each answer; `store` as for `gate`."""
        from partner_node.consent.local_rules import LocalRules

        gate = self.gate(agreement, party, store)
        data = self.config.data
        return LocalRules(
            agreement, party, self.config.consent, gate, columns=data.columns, units=data.units
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
        from partner_node.customers.source_customers import SourceCustomers
        from partner_node.sources.kinds import open_source
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

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Lock the folder while the node serves; raises UsageError if another process holds it."""
        self.config.node.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with held(self.serve_lock) as ours:
            if not ours:
                raise UsageError(
                    f"another process serves {self.directory} already",
                    remedy="stop it first; one folder is one node",
                )
            yield


def home_passphrase(config: NodeConfig) -> bytes:
    """The key store's passphrase, from the configured place; raises KeystoreError."""
    return read_passphrase(
        file=config.keys.passphrase_file,
        variable=config.keys.passphrase_env,
        environment=os.environ,
    )
