-- Where telephone numbers without a country code are dialled; empty = CN, as for every workspace that
-- was made before it could be said.
ALTER TABLE workspace ADD COLUMN default_region text NOT NULL DEFAULT '';
