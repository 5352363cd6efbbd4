-- name: save_queue
-- Saves a version of a queue.
INSERT INTO desk_queue (workspace_id, queue_id, version, payload) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING;

-- name: load_queues
-- All versions of the queues of some workspaces.
SELECT workspace_id, payload FROM desk_queue WHERE workspace_id = ANY ($1::text[])
ORDER BY workspace_id, queue_id, version;

-- name: load_queues_of_workspace
-- All versions of the queues of a workspace.
SELECT workspace_id, payload FROM desk_queue WHERE workspace_id = $1 ORDER BY queue_id, version;

-- name: open_tickets_of_queues
-- The open tickets of queues, which are named by two columns.
SELECT t.ticket_id FROM ticket t
JOIN unnest($1::text[], $2::text[]) AS q (workspace_id, queue_id) USING (workspace_id, queue_id)
WHERE t.state IN (1, 2);

-- name: add_tickets
-- Adds tickets of which the first fact is learnt.
INSERT INTO ticket (ticket_id, workspace_id, leaf_id)
SELECT * FROM unnest($1::bytea[], $2::text[], $3::bytea[]) ORDER BY 1
ON CONFLICT DO NOTHING;

-- name: lock_tickets
-- Locks tickets until the transaction ends.
SELECT ticket_id FROM ticket WHERE ticket_id = ANY ($1::bytea[]) ORDER BY ticket_id FOR UPDATE;

-- name: add_ticket_facts
-- Adds what has happened to tickets. What the log has counts in place of what it did not have yet.
INSERT INTO ticket_fact AS f (ticket_id, fact_id, workspace_id, event, occurred_at_us, properties,
                              unpublished)
SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::text[], $4::text[], $5::bigint[], $6::bytea[],
                     $7::bytea[])
ON CONFLICT (ticket_id, fact_id) DO UPDATE
SET occurred_at_us = EXCLUDED.occurred_at_us, properties = EXCLUDED.properties, unpublished = NULL
WHERE f.unpublished IS NOT NULL AND EXCLUDED.unpublished IS NULL;

-- name: load_ticket_facts
-- What has happened to some tickets.
SELECT ticket_id, fact_id, event, occurred_at_us, properties FROM ticket_fact
WHERE ticket_id = ANY ($1::bytea[]);

-- name: save_tickets
-- Saves what the facts of tickets say.
UPDATE ticket t
SET queue_id = n.queue_id, kind = n.kind, title = n.title, state = n.state, agent_id = n.agent_id,
    opened_at_us = n.opened_at_us, due_us = n.due_us, look_us = n.look_us,
    breached = string_to_array(n.breached, ',')::smallint[]
FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::text[],
            $7::bigint[], $8::bigint[], $9::bigint[], $10::text[])
    AS n (ticket_id, queue_id, kind, title, state, agent_id, opened_at_us, due_us, look_us,
          breached)
WHERE t.ticket_id = n.ticket_id;

-- name: claim_tickets
-- Locks tickets that are to be looked at, the earliest first.
SELECT ticket_id, workspace_id, leaf_id FROM ticket WHERE look_us <= $1
ORDER BY look_us LIMIT $2 FOR UPDATE SKIP LOCKED;

-- name: lock_desks
-- Lets one transaction at a time choose agents in each of some workspaces.
SELECT count(pg_advisory_xact_lock(key)) FROM unnest($1::bigint[]) AS key;

-- name: count_open_tickets
-- The open tickets of the agents of some workspaces.
SELECT workspace_id, queue_id, agent_id, count(*) AS count FROM ticket
WHERE workspace_id = ANY ($1::text[]) AND state IN (1, 2) AND agent_id <> ''
GROUP BY workspace_id, queue_id, agent_id;

-- name: load_unpublished
-- Facts that the log does not have yet.
SELECT ticket_id, fact_id, unpublished FROM ticket_fact WHERE unpublished IS NOT NULL
ORDER BY fact_id LIMIT $1;

-- name: mark_published
-- Records that the log has facts.
UPDATE ticket_fact SET unpublished = NULL
WHERE (ticket_id, fact_id) IN (SELECT * FROM unnest($1::bytea[], $2::bytea[]));

-- name: take_back
-- Deletes a fact of which the log has another content, which will come.
DELETE FROM ticket_fact WHERE ticket_id = $1 AND fact_id = $2 AND unpublished IS NOT NULL;

-- name: list_tickets
-- Tickets, those that were opened last first, before one; an empty filter matches all.
SELECT * FROM ticket
WHERE workspace_id = $1 AND (opened_at_us, ticket_id) < ($2, $3) AND state > 0
  AND ($4 = '' OR queue_id = $4) AND ($5 = '' OR agent_id = $5)
  AND ($6::bytea[] IS NULL OR leaf_id = ANY ($6::bytea[]))
  AND ($7 = 0 OR state = $7) AND (NOT $8 OR breached <> '{}')
ORDER BY opened_at_us DESC, ticket_id DESC LIMIT $9;

-- name: load_ticket
-- A ticket.
SELECT * FROM ticket WHERE workspace_id = $1 AND ticket_id = $2;

-- name: load_facts_of_ticket
-- What has happened to a ticket.
SELECT ticket_id, fact_id, event, occurred_at_us, properties FROM ticket_fact
WHERE workspace_id = $1 AND ticket_id = $2;

-- name: count_tickets
-- The open tickets of a workspace by queue and agent.
SELECT queue_id, agent_id, count(*) FILTER (WHERE state = 1) AS open,
       count(*) FILTER (WHERE state = 2) AS waiting,
       count(*) FILTER (WHERE breached <> '{}') AS breached
FROM ticket WHERE workspace_id = $1 AND state IN (1, 2)
GROUP BY queue_id, agent_id ORDER BY queue_id, agent_id;
