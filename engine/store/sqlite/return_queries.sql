-- Every statement about returns, each under its name. Parameters are positional.
-- Columns of a return always come in the order of `get_return`; return_rows.py reads them by place.

-- name: get_return
SELECT return_id, tenant, due_us, version, body FROM returns WHERE return_id = ?1 AND +tenant = ?2;

-- name: return_by_request
SELECT return_id, tenant, due_us, version, body, body_hash FROM returns INDEXED BY returns_by_request
WHERE tenant = ?1 AND request_id = ?2 AND request_id <> '';

-- name: returns_of_order
SELECT return_id, tenant, due_us, version, body FROM returns INDEXED BY returns_by_order
WHERE tenant = ?1 AND order_id = ?2 ORDER BY return_id;

-- name: count_returns_of_order
SELECT count(*) FROM returns INDEXED BY returns_by_order WHERE tenant = ?1 AND order_id = ?2;

-- name: list_returns
SELECT return_id, tenant, due_us, version, body FROM returns INDEXED BY returns_listing
WHERE tenant = ?1 AND return_id > ?2
  AND (?3 IS NULL OR state IN (SELECT value FROM json_each(?3)))
  AND (?4 IS NULL OR reason IN (SELECT value FROM json_each(?4)))
  AND (?5 = '' OR order_id = ?5)
ORDER BY return_id LIMIT ?6;

-- name: due_returns
SELECT return_id, tenant, due_us, version, body FROM returns INDEXED BY returns_due
WHERE due_us IS NOT NULL AND due_us <= ?1 ORDER BY due_us, return_id LIMIT ?2;

-- name: put_off_return
UPDATE returns SET due_us = ?2 WHERE return_id = ?1;

-- name: insert_return
INSERT INTO returns (return_id, tenant, order_id, request_id, body_hash, state, reason, due_us, version, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10);

-- name: update_return
UPDATE returns SET state = ?4, due_us = ?5, body = ?6, version = ?3 + 1
WHERE return_id = ?1 AND tenant = ?2 AND version = ?3;

-- name: version_of_return
SELECT version FROM returns WHERE return_id = ?1 AND tenant = ?2;

-- name: count_returns_by_state
SELECT state, count(*) FROM returns INDEXED BY returns_listing GROUP BY state;
