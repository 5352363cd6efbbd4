"""Holds the code of Onefold in layers; each layer imports only those below it.

cli                                                the command line
client  devstack                                   the typed API client; local engines
ingest  identity  profile  segment  activation     five services, independent of each other
console                                            every call over HTTP, before the five services
linkage                                            probable matches: a library, no service
chassis                                            I/O machinery that all services use
kernel                                             pure types that all services share
"""

#: The services, in the order in which an event passes them.
SERVICES = ("ingest", "identity", "profile", "segment", "activation")
