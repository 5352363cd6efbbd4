"""Pure: what is to be sent to whom, and what follows from an attempt."""
