-- Tracks, their raw events, the news of them, pushes that were set aside.
-- Times are microseconds since 1970 UTC. Blobs are msgpack; sealed ones went through the codec.

INSERT INTO meta (key, value) VALUES ('purged_news_sequence', 0);

CREATE TABLE tracks (
  track_id       TEXT PRIMARY KEY,
  tenant         TEXT NOT NULL,
  carrier        TEXT NOT NULL,
  account_id     TEXT NOT NULL,
  waybill_number TEXT NOT NULL,
  order_id       TEXT NOT NULL,     -- '': of no order of ours
  first_seen_us  INTEGER NOT NULL,
  status         TEXT,              -- NULL: nothing known yet
  next_poll_us   INTEGER,           -- NULL: nobody asks
  retired        INTEGER NOT NULL CHECK (retired IN (0, 1)),
  version        INTEGER NOT NULL,
  live           BLOB NOT NULL      -- sealed; rewritten by every commit
) STRICT;

-- Carrier and number first: pushes ask over all tenants.
CREATE INDEX tracks_by_number ON tracks (carrier, waybill_number, tenant, first_seen_us);
-- A number is followed once by a tenant, however often it was used before.
CREATE UNIQUE INDEX tracks_live ON tracks (tenant, carrier, waybill_number) WHERE retired = 0;
CREATE INDEX tracks_by_order ON tracks (tenant, order_id, first_seen_us) WHERE order_id <> '';
-- Holds followed tracks only, so it stays small however many are kept.
CREATE INDEX tracks_due ON tracks (next_poll_us, track_id) WHERE next_poll_us IS NOT NULL AND retired = 0;

-- Clustered by track, so that a parcel's events are read from neighbouring pages.
CREATE TABLE track_events (
  track_id    TEXT NOT NULL REFERENCES tracks (track_id),
  number      INTEGER NOT NULL,     -- order of arrival, from 1
  fingerprint BLOB NOT NULL,
  time_us     INTEGER NOT NULL,     -- the carrier's
  body        BLOB NOT NULL,        -- sealed; written once
  PRIMARY KEY (track_id, number)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX track_events_once ON track_events (track_id, fingerprint);

CREATE TABLE track_news (
  sequence    INTEGER PRIMARY KEY,  -- given by the writer inside the transaction: no gaps
  tenant      TEXT NOT NULL,
  track_id    TEXT NOT NULL,
  fingerprint BLOB NOT NULL,        -- the event itself stays where it is, sealed
  received_us INTEGER NOT NULL,
  body        BLOB NOT NULL,        -- holds no personal data
  FOREIGN KEY (track_id, fingerprint) REFERENCES track_events (track_id, fingerprint)
) STRICT;

CREATE INDEX track_news_by_tenant ON track_news (tenant, sequence);

CREATE TABLE dead_letters (
  letter_id   TEXT PRIMARY KEY,
  account_id  TEXT NOT NULL,
  received_us INTEGER NOT NULL,
  attempts    INTEGER NOT NULL,
  body        BLOB NOT NULL         -- sealed: cause, headers and the push itself
) STRICT;
