"""Reads what providers report of messages: receipts, bounces, complaints, replies."""
