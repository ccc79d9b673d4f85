"""Sizes that both sides enforce before they parse anything. SPEC.md, section 2.

Counts are numbers of things, ``…_BYTES`` are bytes. A message beyond its limit is refused unread.
"""

from __future__ import annotations

from typing import Final

MIN_PARTNERS: Final = 2
MAX_PARTNERS: Final = 50
MAX_FEATURES: Final = 256
#: Levels of one feature.
MAX_LEVELS: Final = 50
MAX_CLUSTERS: Final = 1_000
MAX_ROUNDS: Final = 1_000
#: Most runs that a budget can cover.
MAX_RUNS: Final = 1_000
MAX_SPARE_ROUNDS: Final = 20
MAX_PARTNERS_PER_CUSTOMER: Final = 50
MAX_CUSTOMERS_PER_PARTNER: Final = 1 << 30

MAX_AGREEMENT_BYTES: Final = 1 << 20
MAX_RELEASE_BYTES: Final = 16 << 20

#: Round r carries every masked message of round r-1; the agreement must keep that below this.
MAX_TRANSCRIPT_BYTES: Final = 8 << 20
#: Largest size of a masked message beyond its vector (header, signature, framing).
MASKED_OVERHEAD_BYTES: Final = 256

#: Links of the participant-set chain over an agreement's whole life.
MAX_CHAIN_LINKS: Final = 4_096

#: Largest request from the coordinator: a transcript, its certificate and framing.
MAX_REQUEST_BYTES: Final = 24 << 20
#: Largest reply of a node: one masked message or one READY.
MAX_REPLY_BYTES: Final = 12 << 20

#: Row cap of a partner that proposed none of its own: what `init` and `join` of a node write.
USUAL_MAX_CUSTOMERS: Final = 1_000_000
