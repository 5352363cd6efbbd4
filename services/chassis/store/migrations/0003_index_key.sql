-- Which key the ids in these tables are derived with. One row, in services that derive ids.
CREATE TABLE index_key (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version int NOT NULL,
    -- A function of the key that does not reveal it.
    key_check bytea NOT NULL
);
