CREATE TABLE webhooks (
    id              uuid PRIMARY KEY,
    url             text NOT NULL,
    secret          text NOT NULL,
    created_at      timestamptz NOT NULL,
    disabled_at     timestamptz,
    disabled_reason text,
    CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
);

-- `due_at` is when a worker may claim the task: a queued one when it is to be run, a leased one when its lease expires. So
-- one index finds both, and holds nothing that has ended.
CREATE TABLE tasks (
    id              uuid PRIMARY KEY,
    kind            text NOT NULL,
    payload         text NOT NULL,
    booking_id      uuid,
    webhook_id      uuid,
    idempotency_key text NOT NULL UNIQUE,
    traceparent     text,
    tracestate      text,
    first_run       text,
    state           text NOT NULL CHECK (state IN ('queued', 'leased', 'done', 'dead', 'cancelled')),
    run_at          timestamptz NOT NULL,
    due_at          timestamptz,
    runs            bigint NOT NULL CHECK (runs >= 0),
    max_runs        bigint NOT NULL CHECK (max_runs > 0),
    lease           uuid,
    holder          text,
    created_at      timestamptz NOT NULL,
    started_at      timestamptz,
    finished_at     timestamptz,
    last_error      text,
    CHECK ((state IN ('queued', 'leased')) = (due_at IS NOT NULL)),
    CHECK ((state IN ('queued', 'leased')) = (finished_at IS NULL)),
    CHECK ((state = 'leased') = (lease IS NOT NULL)),
    CHECK ((state = 'leased') = (holder IS NOT NULL))
) WITH (
    -- Every task is written three times and then removed: what is left behind must go before it slows down those who claim.
    fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.05
);
CREATE INDEX tasks_due ON tasks (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX tasks_finished ON tasks (state, finished_at) WHERE finished_at IS NOT NULL;

ALTER TABLE idempotency_keys ADD COLUMN task_id uuid;
