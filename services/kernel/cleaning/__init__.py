"""Standardises values as people write them: places, numbers, dates, names, currencies."""
