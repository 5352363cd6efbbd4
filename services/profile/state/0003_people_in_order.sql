-- The persons of a workspace, in the order in which they are listed. Most changes of a standing touch
-- none of it.
CREATE INDEX standing_by_workspace ON standing (workspace_id, profile_id)
WHERE merged_into IS NULL;
