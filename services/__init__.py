"""Onefold's code, in layers; each layer imports only those below it.

    cli                                                the command line
    client  devstack                                   the typed API client; a whole system on one machine
    ingest  identity  profile  segment  activation     five services, independent of each other
    linkage                                            probable matches: a library, no service
    chassis                                            machinery for I/O that all services use
    kernel                                             pure values and functions that all services share
"""

#: The services, in the order in which an event passes them.
SERVICES = ("ingest", "identity", "profile", "segment", "activation")
