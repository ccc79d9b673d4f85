"""What a node shows of itself: commands print it, and pages of the console have it."""
