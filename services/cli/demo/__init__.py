"""The demo: one month of an online school through the whole system, with every figure checked."""
