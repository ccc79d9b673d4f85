"""What tests of a node that is killed, or whose customers cannot be read, put in a node's place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from partner_node.store.node_store import NodeStore
from protocol.errors import SourceError
from protocol.scaling import FloatMatrix


class SpyCustomers:
    """Counts how often the customers are read, which may break off after the first."""

    def __init__(self, vectors: FloatMatrix) -> None:
        self.prepared = vectors
        self.reads = 0
        self.broken = False

    def vectors(self) -> Iterator[FloatMatrix]:
        self.reads += 1
        yield self.prepared[:1]
        if self.broken:
            raise SourceError("the file is gone", code="E-SOURCE")
        yield self.prepared[1:]


class CrashingStore(NodeStore):
    """A store whose process is killed around a commit, the first one or a later one."""

    crash: str = ""
    commits_before: int = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        now = bool(self.crash) and self.commits_before == 0
        self.commits_before -= bool(self.crash)
        with super().transaction():
            yield
            if now and self.crash == "before":
                raise SystemExit("killed before the commit")
        if now and self.crash == "after":
            raise SystemExit("killed after the commit")
