"""Pure words that every room shares: no clock, no network, no generated code."""
