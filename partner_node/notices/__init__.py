"""Notices: what a partner tells its customers of an agreement, published, and held against it."""
