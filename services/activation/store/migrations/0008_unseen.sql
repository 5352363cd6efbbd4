-- The instant of the log that must be known for a look to see its reason, such as the move of a leaf;
-- an earlier look is repeated. NULL = every look sees it. Unix microseconds.
ALTER TABLE journey_due ADD COLUMN unseen_until_us bigint;
