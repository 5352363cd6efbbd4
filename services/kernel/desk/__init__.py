"""Defines the queues of the service desk, and computes its hours."""
