"""Pure: decides which effects a membership change has, and how an attempt changes an effect."""
