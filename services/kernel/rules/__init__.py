"""Defines, reads, writes and evaluates rules: a tree of conditions on one profile."""
