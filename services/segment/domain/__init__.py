"""Pure: decides which profiles are members of which segments."""
