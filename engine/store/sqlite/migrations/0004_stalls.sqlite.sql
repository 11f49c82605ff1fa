-- Alerts of parcels that stand still: when each track is judged next, what is open, and news without an event.

-- Tracks of before are due at once: nobody has judged them yet. It costs no rewriting of rows.
ALTER TABLE tracks ADD COLUMN next_check_us INTEGER DEFAULT 0;       -- NULL: no rule can become true by itself
ALTER TABLE tracks ADD COLUMN stalled_by TEXT NOT NULL DEFAULT '';   -- rules of the open alerts, one a line

-- Hold what is waited for and what stands still only, so they stay small however many tracks are kept. A track that was
-- let go with open alerts is judged once more: they are over, and watchers hear it.
CREATE INDEX tracks_to_check ON tracks (next_check_us, track_id) 
WHERE next_check_us IS NOT NULL AND (retired = 0 OR stalled_by <> '');
CREATE INDEX tracks_stalled ON tracks (stalled_by) WHERE stalled_by <> '';

-- News of an alert point at no event; SQLite changes a column's constraint by building the table anew.
CREATE TABLE track_news_anew (
  sequence    INTEGER PRIMARY KEY,  -- given by the writer inside the transaction: no gaps
  tenant      TEXT NOT NULL,
  track_id    TEXT NOT NULL,
  fingerprint BLOB,                 -- the event itself stays where it is, sealed; NULL: news of an alert
  received_us INTEGER NOT NULL,
  body        BLOB NOT NULL,        -- holds no personal data
  FOREIGN KEY (track_id, fingerprint) REFERENCES track_events (track_id, fingerprint)
) STRICT;

INSERT INTO track_news_anew (sequence, tenant, track_id, fingerprint, received_us, body)
SELECT sequence, tenant, track_id, fingerprint, received_us, body FROM track_news ORDER BY sequence;

DROP TABLE track_news;
ALTER TABLE track_news_anew RENAME TO track_news;
CREATE INDEX track_news_by_tenant ON track_news (tenant, sequence);
