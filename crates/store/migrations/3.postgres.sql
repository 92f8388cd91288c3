-- A claim asks for tasks of one kind, so that those of another that wait cost it nothing.
DROP INDEX tasks_due;
CREATE INDEX tasks_due ON tasks (kind, due_at, id) WHERE due_at IS NOT NULL;
