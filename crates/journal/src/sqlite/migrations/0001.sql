-- Format 1. docs/journal-format.md explains every column.

-- The record: one row is what one run had to say at once. Rows are only ever added.
CREATE TABLE journal (
    position INTEGER PRIMARY KEY,
    run BLOB NOT NULL,
    first INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX journal_by_run ON journal (run, first);

-- What lists show, recomputable from the record.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    run BLOB NOT NULL UNIQUE,
    workflow TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    twin BLOB NOT NULL,
    tenant TEXT,
    status TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    summary TEXT NOT NULL
) STRICT;
-- `twin` is empty for the one run that claims its workflow id, and the run's own id for children and forks.
CREATE UNIQUE INDEX runs_by_workflow_id ON runs (workflow_id, workflow, twin);
-- Each begins with the status: lists without one are merged from nine scans. Columns after `id` only spare look-ups.
CREATE INDEX runs_by_start ON runs (status, started_at, id);
CREATE INDEX runs_by_update ON runs (status, updated_at, id, workflow, tenant);
CREATE INDEX runs_by_cost ON runs (status, cost, id, started_at, workflow, tenant);
CREATE INDEX runs_of_workflow ON runs (workflow, status, started_at, id);
CREATE INDEX runs_of_tenant ON runs (tenant, status, started_at, id) WHERE tenant IS NOT NULL;

-- Messages that other processes leave for the owner.
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run BLOB NOT NULL,
    at INTEGER NOT NULL,
    message TEXT NOT NULL
) STRICT;

-- For people with the sqlite3 shell.
CREATE VIEW events AS
SELECT
    journal.position AS position,
    lower(hex(journal.run)) AS run,
    journal.first + event.key AS number,
    strftime('%Y-%m-%dT%H:%M:%fZ', (event.value ->> '$.at') / 1e6, 'unixepoch') AS at,
    (SELECT kind.key FROM json_each(event.value, '$.event') AS kind) AS kind,
    (SELECT kind.value FROM json_each(event.value, '$.event') AS kind) AS data
FROM journal, json_each(journal.body) AS event;
