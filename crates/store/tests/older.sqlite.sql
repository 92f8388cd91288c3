-- What a program of version 2 has written into its tables.
CREATE TABLE schema_versions (version INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT;
INSERT INTO schema_versions VALUES (1, 0), (2, 0);
INSERT INTO tasks (id, kind, payload, idempotency_key, state, run_at, due_at, runs, max_runs, created_at)
VALUES ('01a217dc-db4b-7408-a8a8-d199aed6397c', 'deliver_webhook', '{}', 'old', 'queued', 0, 0, 0, 3, 0);
