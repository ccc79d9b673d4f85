"""Checks of a partner's data against the agreement. Findings stay at the node."""
