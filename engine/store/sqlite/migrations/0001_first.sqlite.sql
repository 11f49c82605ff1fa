-- Orders, attempts, idempotency keys, events, labels, engine state.
-- Times are microseconds since 1970 UTC. Blobs are msgpack; sealed ones went through the codec.

CREATE TABLE meta (
  key   TEXT PRIMARY KEY,
  value ANY NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO meta (key, value) VALUES ('epoch', 0), ('purged_sequence', 0);

CREATE TABLE orders (
  order_id       TEXT PRIMARY KEY,
  tenant         TEXT NOT NULL,
  reference      TEXT NOT NULL,
  state          TEXT NOT NULL,
  carrier        TEXT NOT NULL,
  waybill_number TEXT NOT NULL,
  create_us      INTEGER NOT NULL,
  update_us      INTEGER NOT NULL,
  due_us         INTEGER,           -- NULL: nobody must look; 2^62: only a later engine must
  lease_epoch    INTEGER NOT NULL,
  version        INTEGER NOT NULL,
  draft          BLOB NOT NULL,     -- sealed; written once
  live           BLOB NOT NULL      -- sealed; rewritten by every commit
) STRICT;

-- Holds open orders only, so it stays small however many orders are kept.
CREATE INDEX orders_due ON orders (lease_epoch, due_us) WHERE due_us IS NOT NULL;
CREATE INDEX orders_by_reference ON orders (tenant, reference, create_us);
-- State and carrier ride along so that a listing filters without touching the wide rows.
CREATE INDEX orders_listing ON orders (tenant, order_id, state, carrier);

CREATE TABLE attempts (
  order_id   TEXT NOT NULL REFERENCES orders (order_id),
  number     INTEGER NOT NULL,
  tenant     TEXT NOT NULL,
  account_id TEXT NOT NULL,
  reference  TEXT NOT NULL,
  state      TEXT NOT NULL,
  body       BLOB NOT NULL,         -- sealed
  PRIMARY KEY (order_id, number)
) STRICT, WITHOUT ROWID;

-- Several attempts of one order at one account may share a reference, hence the number.
CREATE UNIQUE INDEX attempts_by_reference ON attempts (account_id, reference, number);

-- A rowid table: rows stand in the order of creation, which is what the purge walks along.
CREATE TABLE idempotency_keys (
  tenant    TEXT NOT NULL,
  scope     TEXT NOT NULL CHECK (scope IN ('request_id', 'reference')),
  key       TEXT NOT NULL,
  order_id  TEXT NOT NULL REFERENCES orders (order_id),
  body_hash BLOB NOT NULL,
  create_us INTEGER NOT NULL,
  UNIQUE (tenant, scope, key)
) STRICT;

CREATE TABLE events (
  sequence INTEGER PRIMARY KEY,     -- given by the writer inside the transaction: no gaps
  tenant   TEXT NOT NULL,
  order_id TEXT NOT NULL,
  time_us  INTEGER NOT NULL,
  body     BLOB NOT NULL            -- holds no personal data
) STRICT;

CREATE INDEX events_by_tenant ON events (tenant, sequence);

CREATE TABLE labels (
  tenant         TEXT NOT NULL,
  order_id       TEXT NOT NULL,
  waybill_number TEXT NOT NULL,
  media_type     TEXT NOT NULL,
  create_us      INTEGER NOT NULL,
  content        BLOB NOT NULL,     -- sealed
  PRIMARY KEY (tenant, order_id, waybill_number)
) STRICT;

CREATE TABLE engine_state (
  key   TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
