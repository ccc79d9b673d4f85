"""fedseg-simulate: evaluate on one machine before anybody signs."""

from simulations.cli.cluster import app, main

__all__ = ["app", "main"]
