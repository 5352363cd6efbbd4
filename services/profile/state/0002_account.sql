-- The leaves that are accounts', with what they say of the account above. All of it is read off the
-- state of the leaf, so that accounts can be listed, and looked for by their parent.
CREATE TABLE account (
    shard        integer NOT NULL,
    leaf_id      bytea   NOT NULL,
    workspace_id text    NOT NULL,
    -- When and by which fact a parent was stated last; null where it never was.
    parent_at    bigint,
    parent_fact  bytea,
    -- Null where that was none.
    parent_leaf  bytea,
    PRIMARY KEY (leaf_id, shard)
);

CREATE INDEX account_by_workspace ON account (workspace_id, leaf_id);
CREATE INDEX account_by_parent ON account (parent_leaf) WHERE parent_leaf IS NOT NULL;
