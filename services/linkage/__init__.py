"""Probable matches: people who may be one, by name, birth date, phone, mail and address.

A batch job, and a client of the services like the command line; it keeps nothing. It merges
nobody: what it finds is said as judged matches, a layer of its own that is used for the purposes
that both people allow. What it stands on (Splink, DuckDB, OpenCC, pypinyin) is imported where it
is used, and comes with the extra `linkage`.
"""
