-- Ids are text, times are microseconds since 1970-01-01T00:00:00Z.
CREATE TABLE bookings (
    id         TEXT NOT NULL PRIMARY KEY,
    resource   TEXT NOT NULL,
    guest      TEXT NOT NULL,
    starts_at  INTEGER NOT NULL,
    ends_at    INTEGER NOT NULL,
    notes      TEXT,
    status     TEXT NOT NULL CHECK (status IN ('pending', 'confirmed', 'cancelled')),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version    INTEGER NOT NULL CHECK (version > 0),
    CHECK (starts_at < ends_at)
) STRICT, WITHOUT ROWID;
CREATE INDEX bookings_in_order ON bookings (starts_at, id);
CREATE INDEX bookings_of_resource ON bookings (resource, starts_at, id);
CREATE INDEX bookings_standing ON bookings (resource, starts_at) WHERE status <> 'cancelled';

-- Those that stand do not overlap, so only the last one that starts before the new one's end can be in its way.
CREATE TRIGGER bookings_do_not_overlap_when_created
BEFORE INSERT ON bookings
WHEN NEW.status <> 'cancelled' AND NEW.starts_at < (
    SELECT ends_at FROM bookings
    WHERE resource = NEW.resource AND status <> 'cancelled' AND starts_at < NEW.ends_at AND id <> NEW.id
    ORDER BY starts_at DESC LIMIT 1)
BEGIN
    SELECT RAISE(ABORT, 'bookings of one resource may not overlap');
END;
CREATE TRIGGER bookings_do_not_overlap_when_changed
BEFORE UPDATE OF resource, starts_at, ends_at, status ON bookings
WHEN NEW.status <> 'cancelled' AND NEW.starts_at < (
    SELECT ends_at FROM bookings
    WHERE resource = NEW.resource AND status <> 'cancelled' AND starts_at < NEW.ends_at AND id <> NEW.id
    ORDER BY starts_at DESC LIMIT 1)
BEGIN
    SELECT RAISE(ABORT, 'bookings of one resource may not overlap');
END;

CREATE TABLE idempotency_keys (
    route        TEXT NOT NULL,
    key          TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    expires_at   INTEGER NOT NULL,
    outcome      TEXT NOT NULL CHECK (outcome IN ('answered', 'overlap')),
    status       INTEGER,
    location     TEXT,
    etag         TEXT,
    body         BLOB,
    PRIMARY KEY (route, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);
