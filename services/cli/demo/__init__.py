"""The demo: an online school, its month, and the proof that nothing of it was lost."""
