"""Decides purely whether a message may be sent to a person now."""
