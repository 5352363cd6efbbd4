"""Decides purely what journeys do: which runs a person has, and which effects follow when."""
