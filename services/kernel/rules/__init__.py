"""Defines, reads, writes and evaluates rules.

errors     the error of a rule that cannot be parsed
values     JSON values and how two of them compare
model      the tree: All, Any_, Not and the predicates
json_form  the JSON and YAML form
text       the text form for people
ids        stable ids of predicates and accumulators
evaluate   predicates over a profile, and rules over the predicates that are true
"""
