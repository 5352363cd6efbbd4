"""Defines receipts, what follows from them, and the tokens of the doors for strangers."""
