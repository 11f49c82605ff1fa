-- Returns. Times are microseconds since 1970 UTC; the blob is msgpack, sealed.

CREATE TABLE returns (
  return_id  TEXT PRIMARY KEY,
  tenant     TEXT NOT NULL,
  order_id   TEXT NOT NULL REFERENCES orders (order_id),
  request_id TEXT NOT NULL,         -- '': none was given
  body_hash  BLOB NOT NULL,
  state      TEXT NOT NULL,
  reason     TEXT NOT NULL,
  due_us     INTEGER,               -- NULL: nobody must look
  version    INTEGER NOT NULL,
  body       BLOB NOT NULL          -- sealed; rewritten by every commit
) STRICT;

CREATE UNIQUE INDEX returns_by_request ON returns (tenant, request_id) WHERE request_id <> '';
CREATE INDEX returns_by_order ON returns (tenant, order_id, return_id);
-- State and reason ride along so that a listing filters without touching the wide rows.
CREATE INDEX returns_listing ON returns (tenant, return_id, state, reason, order_id);
CREATE INDEX returns_due ON returns (due_us, return_id) WHERE due_us IS NOT NULL;
