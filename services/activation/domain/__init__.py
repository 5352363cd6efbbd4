"""Pure: decides which effects follow from a change, and what follows from an attempt."""
