CREATE TABLE webhooks (
    id              TEXT NOT NULL PRIMARY KEY,
    url             TEXT NOT NULL,
    secret          TEXT NOT NULL,
    created_at      INTEGER NOT NULL,
    disabled_at     INTEGER,
    disabled_reason TEXT,
    CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
) STRICT, WITHOUT ROWID;

-- `due_at` is when a worker may claim the task: a queued one when it is to be run, a leased one when its lease expires. So
-- one index finds both, and holds nothing that has ended.
CREATE TABLE tasks (
    id              TEXT NOT NULL PRIMARY KEY,
    kind            TEXT NOT NULL,
    payload         TEXT NOT NULL,
    booking_id      TEXT,
    webhook_id      TEXT,
    idempotency_key TEXT NOT NULL UNIQUE,
    traceparent     TEXT,
    tracestate      TEXT,
    first_run       TEXT,
    state           TEXT NOT NULL CHECK (state IN ('queued', 'leased', 'done', 'dead', 'cancelled')),
    run_at          INTEGER NOT NULL,
    due_at          INTEGER,
    runs            INTEGER NOT NULL CHECK (runs >= 0),
    max_runs        INTEGER NOT NULL CHECK (max_runs > 0),
    lease           TEXT,
    holder          TEXT,
    created_at      INTEGER NOT NULL,
    started_at      INTEGER,
    finished_at     INTEGER,
    last_error      TEXT,
    CHECK ((state IN ('queued', 'leased')) = (due_at IS NOT NULL)),
    CHECK ((state IN ('queued', 'leased')) = (finished_at IS NULL)),
    CHECK ((state = 'leased') = (lease IS NOT NULL)),
    CHECK ((state = 'leased') = (holder IS NOT NULL))
) STRICT;
CREATE INDEX tasks_due ON tasks (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX tasks_finished ON tasks (state, finished_at) WHERE finished_at IS NOT NULL;

ALTER TABLE idempotency_keys ADD COLUMN task_id TEXT;
