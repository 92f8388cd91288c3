-- A claim asks for tasks of one kind, so that those of another that wait cost it nothing.
DROP INDEX tasks_due;
CREATE INDEX tasks_due ON tasks (kind, due_at, id) WHERE due_at IS NOT NULL;

-- A booking is confirmed soon after it was made. None of its indexes names a column that this changes, and its page has room
-- for the new row: so PostgreSQL touches no index for it (a HOT update), least of all the one that finds overlaps.
ALTER TABLE bookings ADD COLUMN is_free boolean NOT NULL GENERATED ALWAYS AS (status = 'cancelled') STORED;
ALTER TABLE bookings SET (fillfactor = 80);
ALTER TABLE bookings DROP CONSTRAINT bookings_do_not_overlap;
ALTER TABLE bookings ADD CONSTRAINT bookings_do_not_overlap
    EXCLUDE USING gist (resource WITH =, tstzrange(starts_at, ends_at, '[)') WITH &&) WHERE (NOT is_free);
