"""How a partner's data look beside the agreement. What is found stays at the node."""
