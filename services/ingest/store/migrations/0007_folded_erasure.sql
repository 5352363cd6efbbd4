-- What each service has deleted of an erased person: numbers of rows, by service and by what they were.

ALTER TABLE erasure ADD COLUMN folded jsonb NOT NULL DEFAULT '{}';
