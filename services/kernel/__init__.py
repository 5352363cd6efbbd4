"""Holds the pure types and functions of all services: no clock, no I/O, no generated code."""
