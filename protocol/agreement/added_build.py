"""A build that parties add to an agreement: a release of the program that may run beside others.

It speaks the agreed protocol, so no new version of the agreement is needed. It is a DSSE envelope
over RFC 8785 JSON, like the agreement; every party signs the same bytes. SPEC.md, 6.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.agreement.document import Agreement
from protocol.agreement.parties import Party
from protocol.agreement.software import DISTRIBUTION, Build
from protocol.canonical import canonical_json, parse_canonical_json, tagged_hash
from protocol.errors import AgreementError, MalformedError, SignatureError
from protocol.signing import Envelope, key_id
from protocol.strict import Fields

SCHEMA: Final = "fedseg/build/v1"
PAYLOAD_TYPE: Final = "application/vnd.fedseg.build+json"
MAX_BYTES: Final = 1 << 14
_MOST_PROTOCOLS: Final = 1_000
_ASK_AGAIN: Final = "do not use it; ask the operator for it again, and tell the other partners"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedBuild:
    """One build for one version of an agreement, with the signatures so far.

    Attributes:
        agreement_hash: 32 bytes.
        protocol: The number of the protocol that the build speaks.
    """

    agreement_hash: bytes
    build: Build
    protocol: int
    envelope: Envelope

    @staticmethod
    def draft(agreement: Agreement, build: Build) -> AddedBuild:
        """Without signatures.

        Raises:
            AgreementError: Nothing may be added to the agreement, or it has the build (E-BUILD).
        """
        terms = agreement.software
        if terms.added_by is None or terms.protocol is None:
            raise AgreementError(
                f"agreement {agreement.id!r}, version {agreement.version}, does not say who adds "
                "builds: it is for what it names alone",
                code="E-BUILD",
                remedy="have every party sign a new version, with software.added_by",
            )
        if build in terms.allowed:
            raise AgreementError(
                f"agreement {agreement.id!r} allows fedseg {build.version} with this code already",
                code="E-BUILD",
                remedy="nobody has to sign it",
            )
        values = {
            "schema": SCHEMA,
            "agreement": agreement.hash.hex(),
            "package": DISTRIBUTION,
            **build.to_dict(),
            "protocol": terms.protocol,
        }
        return AddedBuild(
            agreement_hash=agreement.hash,
            build=build,
            protocol=terms.protocol,
            envelope=Envelope(
                payload_type=PAYLOAD_TYPE, payload=canonical_json(values), signatures={}
            ),
        )

    @staticmethod
    def from_bytes(data: bytes) -> AddedBuild:
        """Read one; `missing` says whose signatures hold. Raises AgreementError."""
        try:
            envelope = Envelope.from_bytes(data, payload_type=PAYLOAD_TYPE, max_bytes=MAX_BYTES)
            values = parse_canonical_json(envelope.payload, max_bytes=MAX_BYTES, what="build")
            fields = Fields(values, "build")
            fields.one_of("schema", (SCHEMA,))
            fields.one_of("package", (DISTRIBUTION,))
            named = {name: fields.text(name, max_length=64) for name in ("version", "sha256")}
            found = AddedBuild(
                agreement_hash=fields.hex("agreement", size=32),
                build=Build.read(Fields(named, "build")),
                protocol=fields.integer("protocol", at_least=1, at_most=_MOST_PROTOCOLS),
                envelope=envelope,
            )
            fields.finish()
        except MalformedError as error:
            raise AgreementError(error.message, remedy=error.remedy or _ASK_AGAIN) from error
        return found

    def to_bytes(self) -> bytes:
        """The envelope as JSON."""
        return self.envelope.to_bytes()

    @property
    def hash(self) -> bytes:
        """Names it, whoever has signed; 32 bytes."""
        return tagged_hash("build", self.envelope.payload)

    def signed_by(self, key: Ed25519PrivateKey) -> AddedBuild:
        """A copy with the signature of `key` added."""
        return replace(self, envelope=self.envelope.signed_by(key))

    def merged(self, other: AddedBuild, agreement: Agreement) -> AddedBuild:
        """With the signatures of another copy too, all of which hold; raises AgreementError."""
        if other.envelope.payload != self.envelope.payload:
            raise AgreementError(
                "the two files name different builds",
                code="E-BUILD",
                remedy="take the copies of one build",
            )
        signatures = {**self.envelope.signatures, **other.envelope.signatures}
        joined = replace(self, envelope=replace(self.envelope, signatures=signatures))
        joined.missing(agreement)
        return joined

    def missing(self, agreement: Agreement, *, kept: bool = False) -> tuple[Party, ...]:
        """Who has to sign it still, of those whom the agreement names for that.

        Args:
            kept: Whether it was kept when its signatures came: those by keys that were handed over
                since count then.

        Raises:
            AgreementError: It is for another agreement or protocol, or the agreement takes none
                (E-BUILD); a signature is wrong or by no party (E-AGR-SIGNATURE).
        """
        expected = AddedBuild.draft(agreement, self.build)
        if self.envelope.payload != expected.envelope.payload:
            raise AgreementError(
                f"the build is for the agreement {self.agreement_hash.hex()[:16]}… and protocol "
                f"{self.protocol}; {agreement.id!r}, version {agreement.version}, has the hash "
                f"{agreement.hash.hex()[:16]}… and protocol {expected.protocol}",
                code="E-BUILD",
                remedy="a build is added to the version that it names and to no other",
            )
        had = agreement.keys.of_parties
        every = [key for keys in had for key in keys]
        if not self.envelope.signatures.keys() <= {key_id(key) for key in every}:
            raise AgreementError(
                "a signature on the build is by no party", code="E-AGR-SIGNATURE", remedy=_ASK_AGAIN
            )
        try:
            signed = self.envelope.signers(every)
        except SignatureError as error:
            raise AgreementError(
                error.message, code="E-AGR-SIGNATURE", remedy=_ASK_AGAIN
            ) from error
        count = {
            party.id: not signed.isdisjoint(keys if kept else keys[-1:])
            for party, keys in zip(agreement.parties, had, strict=True)
        }
        return tuple(p for p in agreement.build_signers if not count[p.id])

    def verify(self, agreement: Agreement, *, kept: bool = False) -> Build:
        """The build, if everybody signed who has to; raises AgreementError (E-BUILD-UNSIGNED).

        Args:
            kept: As for `missing`.
        """
        missing = self.missing(agreement, kept=kept)
        if missing:
            raise AgreementError(
                f"fedseg {self.build.version} is not signed by "
                f"{', '.join(party.id for party in missing)} yet",
                code="E-BUILD-UNSIGNED",
                remedy="they sign it with `fedseg-node agreement builds sign`",
            )
        return self.build
