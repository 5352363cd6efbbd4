"""Rules: what they are, how they are written, and when they hold.

errors    what is said about a rule that cannot be read
values    JSON values and how two of them compare
model     the tree: All, Any_, Not and the predicates
form      its JSON and YAML form        text      its form for people
ids       stable ids of predicates and series
evaluate  verdicts of predicates over a profile, and of rules over predicates that hold
"""
