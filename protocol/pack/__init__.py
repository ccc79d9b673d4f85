"""Evidence packs: what a party did, in one file that an auditor verifies offline. SPEC.md, 20."""
