"""The event log: appended to, read, followed, told the time, and relayed to the bus.

Owns the tables `fact`, `head`, `clock` and `kind` of the schema `ingest`. The doors of ingest and
LogService append through `EventLog.append`, which answers after the commit.
"""

from services.ingest.domain.facts import Appended, NewFact
from services.ingest.log.event_log import EventLog
from services.ingest.log.relay import LogRelay
from services.ingest.log.ticker import Ticker

__all__ = ["Appended", "EventLog", "LogRelay", "NewFact", "Ticker"]
