"""Stores definitions and quarantined events in PostgreSQL."""
