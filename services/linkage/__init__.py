"""Finds probable matches: profiles that may be one person, by name, birth date and contacts.

It is a library for a batch job: a client of the services reads profiles, and it stores nothing. It
merges no profiles: its results become assessed matches, a layer of its own that is used for the
purposes that both profiles allow. Its dependencies (Splink, DuckDB, OpenCC, pypinyin) are imported
where they are used and belong to the extra `linkage`.
"""
