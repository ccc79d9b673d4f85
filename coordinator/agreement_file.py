"""Agreements as files: written by people in strict YAML, signed and kept as JSON envelopes."""

from __future__ import annotations

import textwrap
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StreamMark, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    NodeEvent,
    ScalarEvent,
)

from coordinator import new_draft
from machine.files import write_file
from protocol import limits
from protocol.agreement.added_build import AddedBuild
from protocol.agreement.document import ANEW, EXACT_TOTALS, SCHEMA, Agreement
from protocol.agreement.duties import SPECIAL_CATEGORIES
from protocol.agreement.feature_types import TYPES
from protocol.agreement.governance import CONSENT, FOUR_EYES
from protocol.agreement.hand_over import HandOver
from protocol.agreement.plan_names import CHOOSING_PLAN, EXACT_PLAN, USUAL_ROUNDS
from protocol.agreement.software import PROTOCOL, Software
from protocol.agreement.stop import SignedStop
from protocol.errors import AgreementError, UsageError, naming_file
from protocol.privacy.accounting import rho_for
from protocol.privacy.words import guessed_right
from protocol.signed_agreement import SignedAgreement

_MAX_DEPTH: Final = 10
_LEAST_EPSILON, _MOST_EPSILON = Decimal("0.05"), Decimal(100)

_TEMPLATE: Final = """\
# A fedseg agreement, to be read and signed by every partner. Decimals are written in quotes.
# Check it with `fedseg-coordinator agreement lint`, make the file to sign with
# `fedseg-coordinator agreement draft`.
schema: {schema}
id: {id}
version: 1
# term is what consents and notices must name, text the same in plain words. notice_version is
# that of the notice which tells customers of it.
purpose:
  term: {purpose_term}
  text: {purpose}
  notice_version: {notice_version}
# After review_by no run begins until a new version is signed; supersedes is the hash of the version
# that a new one replaces.
supersedes: none
effective: "{effective}"
review_by: "{review_by}"
expires: "{expires}"

# Every partner: its public key comes from `fedseg-node init`, max_customers is its row cap. role
# is joint-controller for who decides purpose and means with the others, else controller.
# legal_basis: eu-gdpr:A6-1-a is consent; eu-gdpr:A6-1-f legitimate interest, with the SHA-256 of
# the partner's assessment as its reference.
parties:
{parties}
coordinator:
  legal_name: {legal_name}
  contact: {contact}
  public_key: "{public_key}"

# Whose data is used: one row a customer.
population:
  subject: customers of the partners
  inclusion: customers with at least one order in the year before the observation date
  dedupe_key: the partner's own customer number

# How old a partner's record of its customers' consents and objections may be.
consent: {{max_age_hours: 48}}

# What is computed on. necessity says why the purpose needs the feature, weight how much it counts.
{types}
# A missing value is refused, unless missing: {{rule: leave-out}} leaves the customer out or
# missing: {{rule: replace, value: "0"}} says what it counts as.
features:
{features}
# What no partner may compute on: special categories of personal data, customers below an age, and
# columns that stand for something excluded.
excluded:
  special: [{special}]
  children_under: 16
  proxies: []

{privacy}
# A node with fewer customers who may be counted answers nothing; smaller segments are withheld.
min_customers_per_partner: {min_customers}
min_segment_size: {min_segment_size}

# Assignments are written for an allowed use; cards warn of forbidden ones.
results_use:
  allowed: [own-marketing, assortment-planning, service-improvement]
  forbidden: [credit-decisions, individual-pricing, employment-decisions, insurance-decisions]
  recipients: ["the partners, each for its own customers"]

# How long files with customers' segments, and records of what left a node, are kept.
retention: {{assignments_days: 90, records_days: 1095}}

duties:
  withdrawal: A partner leaves by its signed stop; the others go on under a new version.
  audit: Each partner may check the others' records of runs once a year, by itself or by an auditor.
  breach: Whoever learns of a breach tells all other parties within 24 hours.
  responsibilities: >-
    Each partner informs its own customers and answers their requests; the partners decide purpose
    and features together; the coordinator's operator works on their instructions.

# Documents that belong to the agreement: {{title: …, sha256: "…"}}.
documents: []

# Runs may begin by themselves, within window_hours of agreed moments that every node derives; the
# operator may still start others. Times are UTC; a month without that day has its last one.
# schedule: {{every: 1, unit: months, first_day: "2026-01-31", at: "03:00", window_hours: 12}}

# With diligence: required, nothing is published and no run begins unless the operator has a record
# on every party that holds (`partner diligence`).

# What two different people have to do at every node: sign a version, let a held message leave,
# write a file of customers' segments. One is enough to refuse. Left out, one person does each.
{four_eyes}

# Courses that people at every node have to have before they sign, approve or write files; each
# partner keeps its own records (`fedseg-node staff`). Left out, none is asked for.
{training}

# What every node must run, to the letter. With protocol: {protocol} and added_by: parties, a later
# release that speaks the same protocol needs no new agreement: it may run beside this one once
# every party, or each that added_by lists, has signed it (`agreement builds`).
software: {{package: {package}, version: "{version}", sha256: "{sha256}"}}
"""

_EXACT: Final = """\
# Exact totals: not anonymous. The coordinator and every partner see the totals of every round and
# can compute single customers' values: where one customer alone changes cluster, the difference of
# two rounds is that customer's row. Whoever signs says so in exact_totals. Where accuracy is what
# matters, draft with `--epsilon 10` instead: docs/measurements.md has what it costs, and the
# differences then show nobody's row.
{starts}
plan:
  name: {name}
  n_clusters: 5
  max_rounds: {rounds}
  exact_totals: {exact_totals}{start}
privacy: none

secure_sum: {secure_sum}"""

_NOISED: Final = """\
# hybrid-dp chooses from n_clusters_min to n_clusters segments: as many as customers form groups
# with gaps between them. Where they form none, or the noise does not let that be told, there are
# n_clusters_agreed segments, or n_clusters where that is left out; smaller ones than the noise
# allows are merged at the end. With profile: spread it is also asked how customers differ within
# each segment, which takes 4 % of a run's rho. To ask how satisfied the customers of each segment
# are, for 3 % more, add
# satisfaction: {{question: "How satisfied are you with us?", lowest: 1, highest: 5}} and raise
# max_rounds to {more_rounds}; nodes then add up the scores that partners import.
{starts}
plan: {{name: hybrid-dp, n_clusters: 8, n_clusters_min: 3, max_rounds: {rounds},
       profile: spread{start}}}

# Customer-level differential privacy. epsilon and delta are what one run means for one customer
# at one partner: an observer who sees everything that is released, and would have guessed with
# 50 % whether that customer is in the data, guesses right with {right} % at most. rho is the same
# as the nodes count it; `agreement lint` says which rho goes with another epsilon or delta.
privacy:
  epsilon: "{epsilon}"
  delta: "{delta}"
  rho: "{rho}"
  runs: {runs}            # how many such runs every node's budget is for
  spare_rounds: {spare}     # questions that may be asked again in all of them, after drop-outs
  max_partners_per_customer: {group}

# A run begins and goes on with {smallest} of the {n_partners} partners at least: more than half of
# them and max_colluding, and min_partners. With noise, min_atom 1 lets it go on without a partner
# whose noised totals may then be inferred.
secure_sum:
  {secure_sum}"""

_STARTS: Final = """\
# A run starts from the last signed release, so that unchanged customers keep their segments; with
# start: anew every run forms new ones."""

_FEATURE: Final = """\
  - name: {name}
    type: numeric
    unit: {unit}
    min: "{min}"
    max: "{max}"
    transform: {transform}
    weight: "{weight}"
    necessity: {necessity}
"""

_FEATURES: Final = (
    ("recency", "days", "0", "365", "none", "tells active customers from those who left"),
    ("frequency", "orders", "0", "200", "log1p", "tells regular customers from occasional ones"),
    ("monetary", "EUR", "0", "50000", "log1p", "tells large customers from small ones"),
)

_PARTY: Final = """\
  - id: {id}
    legal_name: {legal_name}
    role: joint-controller
    contact: {contact}
    dpo: {dpo}
    public_key: "{public_key}"
    jurisdictions: [{jurisdictions}]
    max_customers: {max_customers}
    legal_basis: {{basis: "{consent}", reference: "the partner's notice"}}
"""


def load_yaml(path: Path) -> Agreement:
    """Read an agreement that a person wrote.

    Duplicate keys, unknown fields, unquoted decimals and YAML's references (anchors, aliases,
    tags), with which a short file can mean a huge one, are refused.

    Raises:
        UsageError: The file cannot be read.
        AgreementError: It is not an agreement (E-AGR-SCHEMA).
    """
    text = _read(path)
    try:
        _refuse_references(text)
        values = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, TypeError) as error:
        raise AgreementError(f"{path} is not strict YAML: {_what(error)}") from error
    with naming_file(path):
        _refuse_misfits(values)
        return Agreement.from_dict(values)


def load_signed(path: Path) -> SignedAgreement:
    """Read an agreement's envelope, signed or not; AgreementError names the file."""
    data = _read(path)
    with naming_file(path):
        return SignedAgreement.from_bytes(data)


def load_agreement(path: Path) -> Agreement:
    """Read an agreement of either form: an envelope when its name ends with ``.json``, else YAML.

    Raises:
        UsageError: The file cannot be read.
        AgreementError: It is not an agreement.
    """
    return load_signed(path).agreement if path.suffix == ".json" else load_yaml(path)


def load_stop(path: Path) -> SignedStop:
    """Read a partner's signed stop; AgreementError names the file."""
    data = _read(path)
    with naming_file(path, remedy="ask the partner for the file again"):
        return SignedStop.from_bytes(data)


def load_hand_over(path: Path) -> HandOver:
    """Read a hand-over of a key, both signatures checked; AgreementError names the file."""
    data = _read(path)
    with naming_file(path, remedy="ask the partner for the file again"):
        return HandOver.from_bytes(data)


def load_build(path: Path) -> AddedBuild:
    """Read a build that parties sign; AgreementError names the file."""
    data = _read(path)
    with naming_file(path, remedy="ask the partner for the file again"):
        return AddedBuild.from_bytes(data)


def _refuse_misfits(values: object) -> None:
    """Refuse a file that lacks fields or has unknown ones, and name all of them at once."""
    misfits = list(Agreement.misfits(values, "agreement"))
    if any(misfit.unknown for misfit in misfits):  # what is missing may only be misspelt
        raise AgreementError("; ".join(misfit.words for misfit in misfits))
    missing = [
        f"{misfit.where}.{name}".removeprefix("agreement.")
        for misfit in misfits
        for name in misfit.missing
    ]
    if missing:
        raise AgreementError(
            f"the agreement has no {', '.join(missing)}",
            code="E-LINT",
            remedy="`fedseg-coordinator agreement draft --out FILE` writes a file with every field",
        )


def save_signed(path: Path, signed: SignedAgreement) -> None:
    """Write an envelope; raises UsageError (E-FILE)."""
    write_file(path, signed.to_bytes())


def privacy_template(
    epsilon: Decimal | None,
    *,
    customers: int,
    n_partners: int,
    anew: bool = False,
    delta: Decimal | None = None,
    smallest: int | None = None,
) -> str:
    """The part of a new agreement about plan, privacy and secure sum.

    Args:
        epsilon: What one run means for one customer; None for exact totals.
        customers: All parties' row caps together: delta is well below one in that many.
        n_partners: How many parties there are so far.
        anew: Whether every run starts anew.
        delta: Instead of the one that goes with `customers`.
        smallest: The partners without which no run goes on, instead of a new agreement's.

    Raises:
        UsageError: No agreement could be made with that epsilon.
    """
    sets = new_draft.secure_sum_for(n_partners, exact=epsilon is None)
    secure_sum = f"{{{', '.join(f'{name}: {n}' for name, n in sets.to_dict().items())}}}"
    if epsilon is None:
        return _EXACT.format(
            name=EXACT_PLAN,
            rounds=USUAL_ROUNDS[EXACT_PLAN],
            exact_totals=EXACT_TOTALS,
            starts=_STARTS,
            start=f"\n  start: {ANEW}" if anew else "",
            secure_sum=secure_sum,
        )
    if not _LEAST_EPSILON <= epsilon <= _MOST_EPSILON:
        raise UsageError(
            f"--epsilon {epsilon}: from {_LEAST_EPSILON} to {_MOST_EPSILON} are allowed",
            remedy="1 is usual, 0.1 strong, above 4 weak; --exact is without any noise",
        )
    delta = new_draft.delta_for(customers) if delta is None else delta
    rho = rho_for(float(epsilon), float(delta))
    right = guessed_right(float(epsilon), float(delta))
    return _NOISED.format(
        starts=_STARTS,
        start=f", start: {ANEW}" if anew else "",
        epsilon=f"{epsilon:f}",
        delta=f"{delta:f}",
        rho=f"{rho:f}",
        right=right,
        rounds=USUAL_ROUNDS[CHOOSING_PLAN],
        more_rounds=USUAL_ROUNDS[CHOOSING_PLAN] + 1,
        runs=new_draft.RUNS,
        spare=new_draft.SPARE_ROUNDS,
        group=new_draft.MAX_PARTNERS_PER_CUSTOMER,
        n_partners=n_partners,
        smallest=smallest or max((n_partners + sets.max_colluding) // 2 + 1, sets.min_partners),
        secure_sum=secure_sum,
    )


def template_of(agreement: Agreement) -> str:
    """A new agreement's YAML with the comments that are true of `agreement`, for these."""
    terms = agreement.privacy
    privacy = (
        privacy_template(None, customers=1, n_partners=agreement.n_partners)
        if terms is None
        else privacy_template(
            terms.epsilon,
            customers=1,
            n_partners=agreement.n_partners,
            delta=terms.delta,
            smallest=agreement.smallest_set,
        )
    )
    named = ("id", "purpose", "purpose_term", "notice_version", "effective", "review_by", "expires")
    return agreement_template(
        **dict.fromkeys((*named, "legal_name", "contact", "public_key"), "-"),
        parties=[],
        privacy=privacy,
        software=Software(version=agreement.software.version, sha256=agreement.software.sha256),
        four_eyes=agreement.four_eyes,
        training=agreement.training,
    )


def agreement_template(**values: Any) -> str:
    """The YAML of a new agreement, ready to be edited."""
    parties = "".join(_PARTY.format(**party, consent=CONSENT) for party in values.pop("parties"))
    features = "".join(
        _FEATURE.format(
            name=name, unit=unit, min=low, max=high, transform=transform, weight="1", necessity=why
        )
        for name, unit, low, high, transform, why in _FEATURES
    )
    software: Software = values.pop("software")
    chosen = ", ".join(values.pop("four_eyes", ()))
    courses = ", ".join(values.pop("training", ()))
    return _TEMPLATE.format(
        schema=SCHEMA,
        parties=parties,
        types=_types_words(),
        features=features,
        special=", ".join(SPECIAL_CATEGORIES),
        min_customers=new_draft.MIN_CUSTOMERS_PER_PARTNER,
        min_segment_size=new_draft.MIN_SEGMENT_SIZE,
        protocol=PROTOCOL,
        four_eyes=f"four_eyes: [{chosen}]" if chosen else f"# four_eyes: [{', '.join(FOUR_EYES)}]",
        training=f"training: [{courses}]" if courses else "# training: [fedseg-basics]",
        **software.to_dict(),
        **values,
    )


def _types_words() -> str:
    """The types of features as the template's comment names them, with what each needs."""
    *first, last = (f"{name}, {kind.written}".rstrip(", ") for name, kind in TYPES.items())
    sentence = f"type is {'; '.join(first)}; or {last}."
    return textwrap.fill(sentence, 100, initial_indent="# ", subsequent_indent="# ")


def _refuse_references(text: bytes) -> None:
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, AliasEvent) or (isinstance(event, NodeEvent) and event.anchor):
            raise ValueError(f"anchors and aliases are not allowed, {_line(event.start_mark)}")
        if isinstance(event, CollectionStartEvent | ScalarEvent) and event.ctag is not None:
            raise ValueError(f"tags are not allowed, {_line(event.start_mark)}")
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ValueError(f"more than {_MAX_DEPTH} levels, {_line(event.start_mark)}")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(2 * limits.MAX_AGREEMENT_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", remedy="name the agreement's file"
        ) from error
    if len(data) > 2 * limits.MAX_AGREEMENT_BYTES:
        raise AgreementError(f"{path} is larger than an agreement may be")
    return data


def _line(mark: StreamMark) -> str:
    return f"line {mark.line + 1}"


def _what(error: Exception) -> str:
    """What is wrong, and where."""
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{error.problem}, line {mark.line + 1}, column {mark.column + 1}"
    return str(error).partition("\n")[0]
