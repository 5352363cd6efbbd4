"""Explains the answer of a rule: the results of its parts, its facts, and what would change it."""
