"""The console of the coordinator: its pages, for people who signed in."""
