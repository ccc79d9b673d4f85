"""Signing in by OpenID Connect: an identity provider says who somebody is, and nothing else."""
