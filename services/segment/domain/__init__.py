"""Pure: what a segment is, and who is in it."""
