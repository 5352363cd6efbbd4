-- The newest version of each destination, as the fact's message.
CREATE TABLE destination (
    workspace_id   text    NOT NULL,
    destination_id text    NOT NULL,
    version        integer NOT NULL,
    message        bytea   NOT NULL,
    PRIMARY KEY (workspace_id, destination_id)
);
