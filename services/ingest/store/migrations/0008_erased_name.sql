-- The identifiers that erased facts still name, as keyed hashes. These facts have a random leaf, so only
-- this table finds them when the person of such an identifier is erased as well.

CREATE TABLE erased_name (
    workspace_id text NOT NULL,
    identifier_id bytea NOT NULL CHECK (octet_length(identifier_id) = 16),
    shard smallint NOT NULL,
    "offset" bigint NOT NULL,
    PRIMARY KEY (workspace_id, identifier_id, shard, "offset")
);
