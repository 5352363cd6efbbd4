-- name: migrations
-- Callers read the ledger, queue dead effects again, have mirrors written, and read runs and what
-- they rest on.
GRANT SELECT, UPDATE (state, due_at, ended_at, outcome_published, unanswered) ON effect TO {api};
GRANT SELECT ON mirror_member TO {api};
GRANT SELECT, INSERT, UPDATE ON mirror TO {api};
GRANT SELECT, UPDATE (due_at, attempts) ON mirror_entry TO {api};
GRANT SELECT ON run, run_unpublished, journey_due, journey_fact, leaf_profile, entry_answer, report TO {api};
GRANT SELECT ON coupon, coupon_code, ticket, ticket_fact, item_fit, item_ranking TO {api}

-- name: state
-- Callers read destinations, templates, journeys, pauses, contact policies, pools of coupons, slots,
-- queues and dashboards, and store the persons that decisions read.
GRANT SELECT ON destination, template, journey, flow_change, contact_policy, coupon_pool, slot TO {api};
GRANT SELECT ON desk_queue, dashboard, slot_follower TO {api};
GRANT SELECT, INSERT, UPDATE ON slot_person TO {api}
