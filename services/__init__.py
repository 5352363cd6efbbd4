"""The map of the house.

Floors, each standing on the one below it only::

    ingest  identity  profile  segment  activation     five services, independent of each other
    chassis                                            machinery for I/O that all rooms stand on
    kernel                                             pure words that all rooms share

`cli` is a client of the public gRPC API.
"""
