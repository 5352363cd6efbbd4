-- The player looks for leaves that have moved before each look at what is due.
CREATE INDEX journey_due_moves ON journey_due (due_us) WHERE journey_id = '';
