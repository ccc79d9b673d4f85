"""fedseg-simulate: evaluate on one machine before anybody signs."""

from __future__ import annotations


def main() -> None:
    """Entry point of ``fedseg-simulate``."""
