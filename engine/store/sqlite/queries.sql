-- Every statement the store runs, each under its name. Parameters are positional.
-- A plus before a column keeps the planner off its index.
-- Columns of an order always come in the order of `get_order`; rows.py reads them by place.

-- name: get_order
SELECT o.order_id, o.tenant, o.state, o.create_us, o.update_us, o.due_us, o.lease_epoch, o.version,
       o.draft, o.live, a.number, a.body
FROM orders AS o LEFT JOIN attempts AS a ON a.order_id = o.order_id
WHERE o.order_id = ?1 AND +o.tenant = ?2
ORDER BY o.order_id, a.number;

-- name: get_order_by_reference
SELECT o.order_id, o.tenant, o.state, o.create_us, o.update_us, o.due_us, o.lease_epoch, o.version,
       o.draft, o.live, a.number, a.body
FROM orders AS o LEFT JOIN attempts AS a ON a.order_id = o.order_id
WHERE o.order_id = (
  SELECT order_id FROM orders WHERE tenant = ?1 AND reference = ?2
  ORDER BY create_us DESC, order_id DESC LIMIT 1)
ORDER BY o.order_id, a.number;

-- name: get_order_by_attempt
SELECT o.order_id, o.tenant, o.state, o.create_us, o.update_us, o.due_us, o.lease_epoch, o.version,
       o.draft, o.live, a.number, a.body
FROM orders AS o LEFT JOIN attempts AS a ON a.order_id = o.order_id
WHERE o.order_id = (
  SELECT order_id FROM attempts WHERE account_id = ?1 AND reference = ?2
  ORDER BY number DESC, order_id DESC LIMIT 1)
ORDER BY o.order_id, a.number;

-- name: list_orders
SELECT o.order_id, o.tenant, o.state, o.create_us, o.update_us, o.due_us, o.lease_epoch, o.version,
       o.draft, o.live, a.number, a.body
FROM (
  SELECT * FROM orders INDEXED BY orders_listing
  WHERE tenant = ?1 AND order_id > ?2
    AND (?3 IS NULL OR state IN (SELECT value FROM json_each(?3)))
    AND (?4 IS NULL OR carrier IN (SELECT value FROM json_each(?4)))
    AND (?5 IS NULL OR create_us > ?5)
    AND (?6 IS NULL OR create_us < ?6)
  ORDER BY order_id LIMIT ?7) AS o
LEFT JOIN attempts AS a ON a.order_id = o.order_id
ORDER BY o.order_id, a.number;

-- name: list_orders_by_prefix
SELECT o.order_id, o.tenant, o.state, o.create_us, o.update_us, o.due_us, o.lease_epoch, o.version,
       o.draft, o.live, a.number, a.body
FROM (
  SELECT * FROM orders INDEXED BY orders_by_reference
  WHERE tenant = ?1 AND order_id > ?2
    AND (?3 IS NULL OR state IN (SELECT value FROM json_each(?3)))
    AND (?4 IS NULL OR carrier IN (SELECT value FROM json_each(?4)))
    AND (?5 IS NULL OR create_us > ?5)
    AND (?6 IS NULL OR create_us < ?6)
    AND reference >= ?8 AND reference < ?8 || char(1114111)
  ORDER BY order_id LIMIT ?7) AS o
LEFT JOIN attempts AS a ON a.order_id = o.order_id
ORDER BY o.order_id, a.number;

-- name: find_key
SELECT k.order_id, k.body_hash, (SELECT state FROM orders WHERE order_id = k.order_id)
FROM idempotency_keys AS k
WHERE k.tenant = ?1 AND k.scope = ?2 AND k.key = ?3;

-- name: put_key
INSERT INTO idempotency_keys (tenant, scope, key, order_id, body_hash, create_us)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (tenant, scope, key) DO UPDATE
SET order_id = excluded.order_id, body_hash = excluded.body_hash, create_us = excluded.create_us;

-- name: insert_key
INSERT INTO idempotency_keys (tenant, scope, key, order_id, body_hash, create_us)
VALUES (?1, ?2, ?3, ?4, ?5, ?6);

-- name: insert_order
INSERT INTO orders (order_id, tenant, reference, state, carrier, waybill_number, create_us, update_us,
                    due_us, lease_epoch, version, draft, live)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13);

-- name: update_order
UPDATE orders
SET state = ?5, carrier = ?6, waybill_number = ?7, update_us = ?8, due_us = ?9, live = ?10,
    lease_epoch = ?4, version = ?3 + 1
WHERE order_id = ?1 AND tenant = ?2 AND version = ?3 AND lease_epoch <= ?4;

-- name: update_orders
WITH step (order_id, tenant, version, lease_epoch, state, carrier, waybill_number, update_us, due_us, live)
  AS (VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10))
UPDATE orders
SET state = step.state, carrier = step.carrier, waybill_number = step.waybill_number, update_us = step.update_us,
    due_us = step.due_us, live = step.live, lease_epoch = step.lease_epoch, version = step.version + 1
FROM step
WHERE orders.order_id = step.order_id AND +orders.tenant = step.tenant AND orders.version = step.version
  AND orders.lease_epoch <= step.lease_epoch;

-- name: fence_of_order
SELECT version, lease_epoch FROM orders WHERE order_id = ?1 AND tenant = ?2;

-- name: put_attempt
INSERT INTO attempts (order_id, number, tenant, account_id, reference, state, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (order_id, number) DO UPDATE
SET account_id = excluded.account_id, reference = excluded.reference, state = excluded.state,
    body = excluded.body;

-- name: insert_event
INSERT INTO events (sequence, tenant, order_id, time_us, body) VALUES (?1, ?2, ?3, ?4, ?5);

-- name: due_of_epoch
SELECT due_us, order_id, tenant FROM orders
WHERE due_us IS NOT NULL AND lease_epoch = ?1 AND due_us <= ?2
ORDER BY due_us LIMIT ?3;

-- name: epoch_before
SELECT max(lease_epoch) FROM orders WHERE due_us IS NOT NULL AND lease_epoch < ?1;

-- name: take_order
UPDATE orders SET lease_epoch = ?2 WHERE order_id = ?1;

-- name: put_off_order
UPDATE orders SET due_us = ?2 WHERE order_id = ?1;

-- name: events_after
SELECT sequence, body FROM events WHERE tenant = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3;

-- name: first_sequence
SELECT coalesce(min(sequence), 0) FROM events;

-- name: last_sequence
SELECT max(coalesce((SELECT max(sequence) FROM events), 0),
           (SELECT value FROM meta WHERE key = 'purged_sequence'));

-- name: put_label
INSERT INTO labels (tenant, order_id, waybill_number, media_type, create_us, content)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (tenant, order_id, waybill_number) DO UPDATE
SET media_type = excluded.media_type, create_us = excluded.create_us, content = excluded.content;

-- name: get_label
SELECT media_type, create_us, content FROM labels
WHERE tenant = ?1 AND order_id = ?2 AND waybill_number = ?3;

-- name: count_by_state
SELECT state, count(*) FROM orders INDEXED BY orders_listing GROUP BY state;

-- name: count_attempts_of_younger
SELECT count(*) FROM attempts
WHERE order_id >= ?3 AND +account_id = ?1 AND state IN (SELECT value FROM json_each(?2));

-- name: attempts_of_older
SELECT a.order_id, a.number, a.tenant, a.body
FROM attempts AS a JOIN orders AS o ON o.order_id = a.order_id
WHERE a.order_id >= ?3 AND a.order_id < ?4 AND +a.account_id = ?1
  AND a.state IN (SELECT value FROM json_each(?2)) AND o.update_us >= ?5;

-- name: next_epoch
UPDATE meta SET value = value + 1 WHERE key = 'epoch' RETURNING value;

-- name: put_state
INSERT INTO engine_state (key, value) VALUES (?1, ?2)
ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: get_state
SELECT value FROM engine_state WHERE key = ?1;

-- name: get_meta
SELECT value FROM meta WHERE key = ?1;

-- name: put_meta
INSERT INTO meta (key, value) VALUES (?1, ?2)
ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: oldest_keys
SELECT k.rowid, k.create_us, o.state
FROM idempotency_keys AS k JOIN orders AS o ON o.order_id = k.order_id
WHERE k.rowid > ?1 ORDER BY k.rowid LIMIT ?2;

-- name: delete_key
DELETE FROM idempotency_keys WHERE rowid = ?1;

-- name: oldest_events
SELECT sequence, time_us FROM events ORDER BY sequence LIMIT ?1;

-- name: delete_events_through
DELETE FROM events WHERE sequence <= ?1;
