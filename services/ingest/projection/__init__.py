"""Folds the log's definitions into the tables by which ingest authenticates and validates."""
