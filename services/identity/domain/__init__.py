"""Holds identity's rules as pure functions: evidence in, profiles out."""
