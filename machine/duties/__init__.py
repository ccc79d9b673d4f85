"""Duties with dates: what has to be done, how it stands, and saying so when that changes."""
