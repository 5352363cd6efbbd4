"""Reads rows of other systems' databases: those that are new since the last read."""
