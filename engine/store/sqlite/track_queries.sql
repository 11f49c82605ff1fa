-- Every statement about tracks, each under its name. Parameters are positional.
-- A plus before a column keeps the planner off its index.
-- Events come in the order of arrival, as they are clustered; track_rows.py puts them in the carrier's.
-- Columns of a track always come in the order of `get_track`; track_rows.py reads them by place.

-- name: get_track
SELECT t.track_id, t.tenant, t.carrier, t.account_id, t.waybill_number, t.order_id, t.first_seen_us,
       t.status, t.next_poll_us, t.retired, t.version, t.live, t.next_check_us, e.fingerprint, e.body
FROM tracks AS t LEFT JOIN track_events AS e ON e.track_id = t.track_id
WHERE t.track_id = ?1 AND +t.tenant = ?2
ORDER BY t.track_id, e.number;

-- name: tracks_of_number
SELECT track_id, tenant, carrier, account_id, waybill_number, order_id, first_seen_us,
       status, next_poll_us, retired, version, live, next_check_us, NULL, NULL
FROM tracks INDEXED BY tracks_by_number
WHERE tenant = ?1 AND carrier = ?2 AND waybill_number = ?3;

-- name: events_of_track
SELECT fingerprint, body FROM track_events WHERE track_id = ?1 ORDER BY number;

-- name: tracks_by_number
SELECT track_id, tenant, carrier, account_id, waybill_number, order_id, first_seen_us,
       status, next_poll_us, retired, version, live, next_check_us, NULL, NULL
FROM tracks INDEXED BY tracks_by_number
WHERE carrier = ?1 AND waybill_number = ?2 AND account_id = ?3
ORDER BY tenant, first_seen_us, track_id;

-- name: track_of_order
SELECT t.track_id, t.tenant, t.carrier, t.account_id, t.waybill_number, t.order_id, t.first_seen_us,
       t.status, t.next_poll_us, t.retired, t.version, t.live, t.next_check_us, e.fingerprint, e.body
FROM tracks AS t LEFT JOIN track_events AS e ON e.track_id = t.track_id
WHERE t.track_id = (
  SELECT track_id FROM tracks INDEXED BY tracks_by_order
  WHERE tenant = ?1 AND order_id = ?2 AND order_id <> ''
  ORDER BY first_seen_us DESC, track_id DESC LIMIT 1)
ORDER BY t.track_id, e.number;

-- name: live_track
SELECT track_id, tenant, carrier, account_id, waybill_number, order_id, first_seen_us,
       status, next_poll_us, retired, version, live, next_check_us, NULL, NULL
FROM tracks INDEXED BY tracks_live
WHERE tenant = ?1 AND carrier = ?2 AND waybill_number = ?3 AND retired = 0;

-- name: due_tracks
SELECT track_id, tenant, carrier, account_id, waybill_number, order_id, first_seen_us,
       status, next_poll_us, retired, version, live, next_check_us, NULL, NULL
FROM tracks INDEXED BY tracks_due
WHERE next_poll_us IS NOT NULL AND retired = 0 AND next_poll_us <= ?1
ORDER BY next_poll_us, track_id LIMIT ?2;

-- name: put_off_track
UPDATE tracks SET next_poll_us = ?2 WHERE track_id = ?1;

-- name: due_checks
SELECT track_id, tenant, carrier, account_id, waybill_number, order_id, first_seen_us,
       status, next_poll_us, retired, version, live, next_check_us, NULL, NULL
FROM tracks INDEXED BY tracks_to_check
WHERE next_check_us IS NOT NULL AND (retired = 0 OR stalled_by <> '') AND next_check_us <= ?1
ORDER BY next_check_us, track_id LIMIT ?2;

-- name: put_off_check
UPDATE tracks SET next_check_us = ?2 WHERE track_id = ?1;

-- name: live_tracks_after
SELECT track_id, tenant, carrier, waybill_number FROM tracks INDEXED BY tracks_live
WHERE retired = 0 AND (tenant, carrier, waybill_number) > (?1, ?2, ?3)
ORDER BY tenant, carrier, waybill_number LIMIT ?4;

-- name: count_stalled
SELECT stalled_by, count(*) FROM tracks INDEXED BY tracks_stalled WHERE stalled_by <> '' GROUP BY stalled_by;

-- name: insert_track
INSERT INTO tracks (track_id, tenant, carrier, account_id, waybill_number, order_id, first_seen_us,
                    status, next_poll_us, retired, next_check_us, stalled_by, version, live)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14);

-- name: insert_new_track
INSERT INTO tracks (track_id, tenant, carrier, account_id, waybill_number, order_id, first_seen_us,
                    status, next_poll_us, retired, next_check_us, stalled_by, version, live)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
ON CONFLICT (tenant, carrier, waybill_number) WHERE retired = 0 DO NOTHING;

-- Most steps. Columns that are named are taken out of their indexes and put in again, changed or not.
-- name: move_track
UPDATE tracks SET status = ?6, next_poll_us = ?7, next_check_us = ?9, live = ?11, version = ?3 + 1
WHERE track_id = ?1 AND tenant = ?2 AND version = ?3 AND account_id = ?4 AND order_id = ?5 AND retired = ?8
  AND stalled_by = ?10;

-- The same for many; says which it wrote.
-- name: move_tracks
WITH step (track_id, tenant, version, account_id, order_id, status, next_poll_us, retired, next_check_us, stalled_by,
           live)
  AS (VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11))
UPDATE tracks
SET status = step.status, next_poll_us = step.next_poll_us, next_check_us = step.next_check_us, live = step.live,
    version = step.version + 1
FROM step
WHERE tracks.track_id = step.track_id AND +tracks.tenant = step.tenant AND tracks.version = step.version
  AND tracks.account_id = step.account_id AND +tracks.order_id = step.order_id AND +tracks.retired = step.retired
  AND +tracks.stalled_by = step.stalled_by
RETURNING track_id;

-- name: update_track
UPDATE tracks
SET account_id = ?4, order_id = ?5, status = ?6, next_poll_us = ?7, retired = ?8, next_check_us = ?9,
    stalled_by = ?10, live = ?11, version = ?3 + 1
WHERE track_id = ?1 AND tenant = ?2 AND version = ?3;

-- name: version_of_track
SELECT version FROM tracks WHERE track_id = ?1 AND tenant = ?2;

-- name: insert_track_event
INSERT INTO track_events (track_id, number, fingerprint, time_us, body)
SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4 FROM track_events WHERE track_id = ?1
ON CONFLICT (track_id, fingerprint) DO NOTHING;

-- Many at once, each in its place among the new ones of its track; one that is known is an error.
-- Numbers may have gaps: places are counted from the track's greatest number, and a step that two statements write is
-- counted on from what the first one wrote. Readers only sort by them.
-- name: insert_new_track_event
WITH new (track_id, place, fingerprint, time_us, body) AS (VALUES (?1, ?2, ?3, ?4, ?5))
INSERT INTO track_events (track_id, number, fingerprint, time_us, body)
SELECT track_id, place + (SELECT coalesce(max(number), 0) FROM track_events AS known WHERE known.track_id = new.track_id),
       fingerprint, time_us, body
FROM new;

-- name: insert_news
INSERT INTO track_news (sequence, tenant, track_id, fingerprint, received_us, body)
VALUES (?1, ?2, ?3, ?4, ?5, ?6);

-- name: news_after
SELECT n.sequence, n.track_id, n.fingerprint, n.body, e.body
FROM track_news AS n LEFT JOIN track_events AS e ON e.track_id = n.track_id AND e.fingerprint = n.fingerprint
WHERE n.tenant = ?1 AND n.sequence > ?2
ORDER BY n.sequence LIMIT ?3;

-- name: first_news_sequence
SELECT coalesce(min(sequence), 0) FROM track_news;

-- name: last_news_sequence
SELECT max(coalesce((SELECT max(sequence) FROM track_news), 0),
           (SELECT value FROM meta WHERE key = 'purged_news_sequence'));

-- name: oldest_news
SELECT sequence, received_us FROM track_news ORDER BY sequence LIMIT ?1;

-- name: delete_news_through
DELETE FROM track_news WHERE sequence <= ?1;

-- name: put_dead_letter
INSERT INTO dead_letters (letter_id, account_id, received_us, attempts, body) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (letter_id) DO UPDATE
SET account_id = excluded.account_id, received_us = excluded.received_us, attempts = excluded.attempts,
    body = excluded.body;

-- name: get_dead_letter
SELECT letter_id, account_id, received_us, attempts, body FROM dead_letters WHERE letter_id = ?1;

-- name: list_dead_letters
SELECT letter_id, account_id, received_us, attempts, body FROM dead_letters
WHERE letter_id > ?1 ORDER BY letter_id LIMIT ?2;

-- name: delete_dead_letter
DELETE FROM dead_letters WHERE letter_id = ?1;

-- name: count_dead_letters
SELECT count(*) FROM dead_letters;
