"""Folds the events of each leaf into its state, a pure function of the set of facts.

Every state is a commutative monoid: folding the same facts in any order, over any split into parts
that are combined afterwards, ends in the same bytes. A fact must be folded only once; the log
guarantees it.
"""
