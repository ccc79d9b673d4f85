"""A file of customers' segments that somebody asks for, and a second person too where two must."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class WishedFile:
    """One such file.

    Attributes:
        release: The hash of the release, in hexadecimal.
        use: What it is for, as agreed.
        segment: Id of the only segment; empty for all.
        suffix: What its name ends in.
        escape: Whether texts that spreadsheets would compute are escaped.
    """

    release: str
    use: str
    segment: str
    suffix: str
    escape: bool

    @property
    def text(self) -> str:
        """It as one text, the same for the same file."""
        return json.dumps([self.release, self.use, self.segment, self.suffix, self.escape])

    @classmethod
    def of(cls, text: str) -> Self:
        """The file of a text that `text` made."""
        release, use, segment, suffix, escape = json.loads(text)
        return cls(release=release, use=use, segment=segment, suffix=suffix, escape=escape)

    @property
    def words(self) -> str:
        """The file for people."""
        whose = f"customers of {self.segment}" if self.segment else "all segments"
        form = self.suffix.removeprefix(".") + (", formulas escaped" if self.escape else "")
        return f"{whose} of release {self.release[:16]}, for {self.use} ({form})"
