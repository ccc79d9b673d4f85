"""Drawings that any of our processes makes: inline SVG, its numbers and its colours."""
