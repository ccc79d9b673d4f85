"""The duties of a node, each with how it stands: agreements, customers, budget, people, machine."""
