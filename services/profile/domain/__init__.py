"""Decides without side effects: how facts change leaves, profiles, accounts, tags and backfills."""
