"""Reads features from the state of one profile, as functions of time."""
