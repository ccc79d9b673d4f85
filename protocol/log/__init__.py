"""The bytes of the audit log: tree, tiles, signed notes, checkpoints, proofs. SPEC.md, section 18.

Nothing here reads a file, a clock or a socket: who keeps a log gives its tiles by a `TileReader`.
"""
