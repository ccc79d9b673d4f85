"""People who use a side's console: accounts, roles, sessions, and the log of what they did."""
