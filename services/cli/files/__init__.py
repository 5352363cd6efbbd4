"""Reads files that users have, by a mapping: encodings, rows, cells, and the events of rows."""
