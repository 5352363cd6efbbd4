"""What is kept of each leaf's events: a pure function of the set of facts.

    events     the part of an event that a fold looks at
    series     timestamps of matching events; distinct values of a property
    catalogue  which events feed which series, and which predicates depend on what
    leaf       the state of a leaf, folding an event into it, and leaves read as one profile

Every state is a commutative monoid: folding the same facts in any order, over any cut into parts
that are joined afterwards, ends in the same bytes. A fact must be folded once; the log sees to it.
"""
