"""Defines, reads, writes and checks journeys: what happens to a person over time."""
