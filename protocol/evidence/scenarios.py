"""Facts for impact assessments: how the processing goes, what may go wrong, and what bounds it."""

from __future__ import annotations

from protocol.evidence import agreed, sums
from protocol.evidence.document import Value
from protocol.evidence.forms import by_program, text
from protocol.evidence.looking import Look
from protocol.privacy.words import counted, guessed_right


def reasons(look: Look) -> Value:
    """What speaks for an assessment, of the nine criteria of WP248 rev.01."""
    partners = len(look.clause("parties"))
    most = sum(int(look.clause(f"{party}.max_customers")) for party in look.each("parties"))
    return text(
        f"Evaluation or scoring: the purpose is {look.clause('purpose.term')}.",
        f"Large scale: up to {most:,} customers of {partners} partners may be counted.",
        "Matching or combining datasets: rows are not matched; sums of partners are added.",
        "Innovative use of technology: secure sums with differential privacy.",
    )


def scope(look: Look) -> Value:
    """What is assessed here, and what is not."""
    return text(
        f"Agreement {look.clause('id')}, version {look.clause('version')}, as it runs at this "
        "node: from reading this partner's customers to writing files of their segments. Left out: "
        "how the partner collected the data before, what it does with a file of segments "
        "afterwards, and the other partners' own premises.",
    )


def made_anew(look: Look) -> Value:
    """That the document is made of facts each time, and of which agreement."""
    return text(
        f"Made on {look.now:%Y-%m-%d} from version {look.clause('version')} of agreement "
        f"{look.clause('id')}; it is made anew from the facts whenever it is asked for. Keep those "
        "that were validated."
    )


def guidelines(look: Look) -> Value:
    """What the form follows."""
    return by_program(
        look,
        "GDPR 35 and 36; the EDPB's template for data protection impact assessments (version 1.0 "
        "of 10 March 2026, for consultation); WP248 rev.01; EDPB Guidelines 07/2020 on controller "
        "and processor, 4/2019 on data protection by design and by default.",
    )


def implemented(look: Look) -> Value:
    """Which measures are in place, and which are promises."""
    return by_program(
        look,
        "What the program does is implemented in the build that is named as its source. What "
        "parties promise in words (duties of the agreement) no program checks.",
    )


def nature(look: Look) -> Value:
    """What happens, in a sentence."""
    return by_program(
        look,
        f"{sums.NO_ROW} The totals form segments by the plan {look.clause('plan.name')}; each "
        "partner then finds the segment of its own customers at home.",
    )


def how_many(look: Look) -> Value:
    """How many customers were counted last, and the most that may be."""
    found = look.home("customers")
    most = int(look.clause(f"parties[{look.own}].max_customers"))
    return text(f"The last answer counted {found} customers; at most {most:,} may be.")


def collection(look: Look) -> Value:
    """Where the data come from."""
    return text(
        str(look.setting("rights.data_from")),
        "Nothing is collected for this processing: it reads what the partner has.",
    )


def use(look: Look) -> Value:
    """How they are used."""
    segments = look.clause("plan.n_clusters")
    return text(
        f"Customers are grouped into at most {counted(segments, 'segment')}. There is no score, no "
        "prediction of one customer, and no other dataset is joined."
    )


def sources(look: Look) -> Value:
    """Of which kinds the sources are."""
    wishes = "; ".join(f"{one['name']} ({one['kind']})" for one in look.setting("consent.sources"))
    return text(f"Customers: {look.setting('data.kind')}. Customers' wishes: {wishes}.")


def informed(look: Look) -> Value:
    """Which notice, and whom customers may complain to."""
    version, told = look.clause("purpose.notice_version"), look.setting("consent.notices")
    return text(
        f"Agreed notice: version {version}. This node's customers were told by: {', '.join(told)}.",
        f"Authority for complaints: {look.setting('rights.authority')}.",
    )


def access(look: Look) -> Value:
    """Access and portability."""
    return by_program(
        look,
        "`fedseg-node rights access` writes a letter of everything that the node holds of a "
        "customer, `rights export` the customer's own data as JSON or CSV.",
    )


def erasure(look: Look) -> Value:
    """Rectification and erasure, and what stays."""
    return by_program(
        look,
        "`fedseg-node rights erase` takes a customer out of every later question, file and "
        "assignment; what stays is said: noised sums in releases, and a sealed id for the gate. "
        "`rights rectify` gives a receipt of what was corrected in the partner's own data, which "
        "the next question reads.",
    )


def recognised(look: Look) -> Value:
    """Somebody finds out whether a customer is among the data, or a value of theirs."""
    said = sums.noise(look)
    size = look.clause("min_segment_size")
    return text(
        "How: from totals that differ by one customer. Source: the purpose needs totals.",
        *said.paragraphs,
        f"Segments of fewer than {counted(size, 'customer')} are withheld.",
        *(look.measured_if_any("attacks") or ()),
    )


def treated(look: Look) -> Value:
    """A customer is treated by the segment's average."""
    return text(
        "How: an offer or its absence follows the segment, which may not fit the person. Source: "
        "the purpose.",
        *agreed.forbidden_uses(look).paragraphs,
        "A customer can have the reason, say that the segment is wrong, and object.",
    )


def no_say(look: Look) -> Value:
    """A customer does not know, or is counted against a wish."""
    return text(
        "How: no notice, or a wish that is not asked. Source: records at the partner.",
        *agreed.notice(look).paragraphs,
        *agreed.consent_age(look).paragraphs,
    )


def intruder(look: Look) -> Value:
    """Somebody gets at the data who may not."""
    return text(
        "How: stolen keys or files, a wrong recipient, an insider. What lies at the node beside "
        "the partner's own data: files of segments until they are deleted, sealed states, keys: "
        f"{look.measured('key_store')}. {look.measured('modes')}",
        f"On the way: TLS and masks; the trusted authority is {look.measured('authority')}.",
    )


def altered(look: Look) -> Value:
    """Data or results are changed."""
    return by_program(
        look,
        "How: a partner feeds untrue data, or somebody changes messages, results or records. Every "
        "message and release is signed; values outside the agreed bounds are clipped, so one "
        "customer moves a total by a bounded amount; a partner that lies within the bounds is not "
        "noticed.",
    )


def lost(look: Look) -> Value:
    """Data disappear."""
    return text(
        "The partner's own data are read and never changed. What would be lost is the node's "
        f"state: the last backup was written on {look.measured('backup')}."
    )


def collusion(look: Look) -> Value:
    """Partners work together with the coordinator."""
    colluding = int(look.clause("secure_sum.max_colluding"))
    least = int(look.clause("secure_sum.min_partners"))
    return text(
        f"Up to {counted(colluding, 'partner')} together with the coordinator learn no other "
        f"partner's sums; more may. No total over fewer than {least} partners is formed."
    )


def guess(look: Look) -> Value:
    """How well somebody guesses that a customer is among the data, after one run."""
    terms = sums.privacy_terms(look)
    right = guessed_right(terms.epsilon_of(terms.run_cost), float(terms.delta))
    return text(f"{right} of 100 cases at most, where chance alone gives 50.")
