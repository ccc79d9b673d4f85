"""Documents for data protection officers, auditors and the public, filled from facts."""
