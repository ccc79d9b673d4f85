"""Characters that a reader does not see, told apart from how `protocol.strict` finds them."""

from __future__ import annotations

from typing import Final

#: Categories with such characters: controls, formats, what is not assigned, breaks of lines.
CATEGORIES: Final = ("Cs", "Cc", "Cf", "Cn", "Zl", "Zp")
#: Letters, marks and symbols that are drawn as nothing.
UNSEEN: Final = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
