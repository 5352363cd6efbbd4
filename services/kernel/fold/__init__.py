"""Folds the events of each leaf into its state, a pure function of the set of facts.

    events           the part of an event that a fold reads
    predicate_index  which events feed which accumulators, and which predicates depend on what
    accumulators     timestamps of matching events; distinct values of a property
    packed_ids       sets of leaf ids as bytes
    leaf             the state of a leaf, folding an event into it, and leaves read as one profile

Every state is a commutative monoid: folding the same facts in any order, over any split into parts
that are combined afterwards, ends in the same bytes. A fact must be folded only once; the log
guarantees it.
"""
