"""Attacks on single customers, each measured beside a control in which it has to succeed."""
