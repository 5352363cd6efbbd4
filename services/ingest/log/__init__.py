"""Appends to the event log, reads it, advances its clock, and relays it to NATS.

Owns the tables `fact`, `head`, `clock` and `kind` of the schema `ingest`. The endpoints of ingest
and LogService append through `EventLog.append`, which returns after the commit.
"""

from services.ingest.domain.facts import AppendResult, NewFact
from services.ingest.log.event_log import EventLog
from services.ingest.log.relay import LogRelay

__all__ = ["AppendResult", "EventLog", "LogRelay", "NewFact"]
