"""The console of a node: its pages, for people who signed in."""
