"""The commands of `onefold`, one module per group."""
