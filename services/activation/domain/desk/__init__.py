"""Folds tickets, and decides who works on them and which limits they have passed."""
