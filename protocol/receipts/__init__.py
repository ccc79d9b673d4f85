"""Receipts of being counted: the bytes behind them, and their check offline. SPEC.md, section 19.

A node commits, answer by answer, to the set of customers that it counted. A receipt shows one
customer's place in each set, and nothing of anybody else. Nothing here reads a file or a clock.
"""
