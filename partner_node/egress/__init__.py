"""The egress gate: what leaves a node is written down in words first, and checked."""
