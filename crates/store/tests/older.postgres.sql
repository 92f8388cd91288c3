-- What a program of version 2 has written into its tables.
CREATE TABLE schema_versions (version bigint PRIMARY KEY, applied_at timestamptz NOT NULL);
INSERT INTO schema_versions VALUES (1, now()), (2, now());
INSERT INTO tasks (id, kind, payload, idempotency_key, state, run_at, due_at, runs, max_runs, created_at)
VALUES ('01a217dc-db4b-7408-a8a8-d199aed6397c', 'deliver_webhook', '{}', 'old', 'queued', 'epoch', 'epoch', 0, 3, 'epoch');
