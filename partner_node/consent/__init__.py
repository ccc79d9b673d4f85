"""The consent gate: only customers who may be counted are counted, decided anew every time."""
