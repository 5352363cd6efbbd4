"""Normalises identifiers, recognises placeholders, and computes the leaf of an event.

The canonical form is a pure function of (namespace, value, default region) and has a version. The
raw value stays in the log.
"""
