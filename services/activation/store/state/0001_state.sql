-- The newest version of each destination, as a serialised DestinationDefined. Each shard has its
-- own copy: the effects of a change depend on the definitions before it in its shard, and not on
-- how far other shards are. So a shard that is behind plans no effects for changes before a
-- definition.
CREATE TABLE destination (
    shard          integer NOT NULL,
    workspace_id   text    NOT NULL,
    destination_id text    NOT NULL,
    version        integer NOT NULL,
    payload        bytea   NOT NULL,
    PRIMARY KEY (workspace_id, destination_id, shard)
);

-- The newest version of each template, as a serialised TemplateDefined; by shard, as it is folded.
CREATE TABLE template (
    shard        integer NOT NULL,
    workspace_id text    NOT NULL,
    template_id  text    NOT NULL,
    version      integer NOT NULL,
    payload      bytea   NOT NULL,
    PRIMARY KEY (workspace_id, template_id, shard)
);
