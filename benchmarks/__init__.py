"""Measurements: each module here measures one thing beside a named baseline in the same run.

``make bench``, or ``python -m benchmarks [NAME …] [--quick] [--format json|text|markdown]``.
"""
