"""The consent gate: only eligible customers are counted, decided anew for every question."""
