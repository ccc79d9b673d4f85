"""What a node does when a customer asks: access, explanation, objection, erasure, portability."""
