CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE bookings (
    id         uuid PRIMARY KEY,
    resource   text NOT NULL,
    guest      text NOT NULL,
    starts_at  timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL,
    notes      text,
    status     text NOT NULL CHECK (status IN ('pending', 'confirmed', 'cancelled')),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version    bigint NOT NULL CHECK (version > 0),
    CHECK (starts_at < ends_at),
    CONSTRAINT bookings_do_not_overlap
        EXCLUDE USING gist (resource WITH =, tstzrange(starts_at, ends_at, '[)') WITH &&)
        WHERE (status <> 'cancelled')
);
CREATE INDEX bookings_in_order ON bookings (starts_at, id);
CREATE INDEX bookings_of_resource ON bookings (resource, starts_at, id);

CREATE TABLE idempotency_keys (
    route        text NOT NULL,
    key          text NOT NULL,
    request_hash bytea NOT NULL,
    expires_at   timestamptz NOT NULL,
    outcome      text NOT NULL CHECK (outcome IN ('answered', 'overlap')),
    status       bigint,
    location     text,
    etag         text,
    body         bytea,
    PRIMARY KEY (route, key)
);
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (expires_at);
