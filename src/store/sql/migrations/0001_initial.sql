-- Times are milliseconds since 1970 (UTC). JSON, ids and states are TEXT, flags are 0 or 1: what every database we speak to knows.

CREATE TABLE seen (
    id    TEXT PRIMARY KEY,
    at_ms BIGINT NOT NULL
);
CREATE INDEX seen_by_age ON seen (at_ms);

-- Everything remembered under one fingerprint, with its newest incident.
CREATE TABLE situations (
    fingerprint TEXT PRIMARY KEY,
    -- 'marker' (no incident), 'open' (or acknowledged), 'resolved'.
    standing    TEXT NOT NULL,
    -- When it needs a look although nothing happens.
    due_ms      BIGINT,
    kept_ms     BIGINT NOT NULL,
    body        TEXT NOT NULL
);
CREATE INDEX situations_due ON situations (due_ms) WHERE due_ms IS NOT NULL;
CREATE INDEX situations_by_age ON situations (standing, kept_ms);
CREATE INDEX situations_open ON situations (fingerprint) WHERE standing = 'open';

CREATE TABLE incidents (
    id          TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    -- 'open' (or acknowledged), 'resolved'.
    standing    TEXT NOT NULL,
    severity    TEXT NOT NULL,
    opened_ms   BIGINT NOT NULL,
    kept_ms     BIGINT NOT NULL,
    -- How many alerts and lines of history were taken out of the middle of a long story.
    forgotten_alerts  BIGINT NOT NULL DEFAULT 0,
    forgotten_history BIGINT NOT NULL DEFAULT 0,
    body        TEXT NOT NULL
);
CREATE INDEX incidents_of ON incidents (fingerprint);
CREATE INDEX incidents_newest ON incidents (opened_ms, id);
CREATE INDEX incidents_open ON incidents (opened_ms, id, severity) WHERE standing = 'open';
CREATE INDEX incidents_resolved ON incidents (kept_ms) WHERE standing = 'resolved';

CREATE TABLE alerts (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    incident TEXT NOT NULL,
    body     TEXT NOT NULL
);
CREATE INDEX alerts_of ON alerts (incident, id);

CREATE TABLE history (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    incident TEXT NOT NULL,
    body     TEXT NOT NULL
);
CREATE INDEX history_of ON history (incident, id);

CREATE TABLE outbox (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    sink            TEXT NOT NULL,
    notification    TEXT NOT NULL,
    fingerprint     TEXT NOT NULL,
    incident        TEXT NOT NULL,
    kind            TEXT NOT NULL,
    -- The severity, 0 (info) to 4 (critical).
    rank            BIGINT NOT NULL,
    state           TEXT NOT NULL,
    -- 1 while waiting or parked.
    unfinished      BIGINT NOT NULL,
    -- When it may be claimed next; for a claimed one, when the claim runs out.
    due_ms          BIGINT NOT NULL,
    leased          BIGINT NOT NULL,
    -- 1 once it was claimed to be told as one note with the resolve behind it: after an unknown outcome it is the same note again.
    noted           BIGINT NOT NULL DEFAULT 0,
    attempts        BIGINT NOT NULL,
    outcome_unknown BIGINT NOT NULL,
    created_ms      BIGINT NOT NULL,
    settled_ms      BIGINT,
    error           TEXT,
    body            TEXT NOT NULL,
    UNIQUE (sink, notification)
);
-- Is anything due? / which is the oldest of its fingerprint? / which is the most urgent?
CREATE INDEX outbox_due ON outbox (sink, due_ms, fingerprint, id) WHERE unfinished = 1;
CREATE INDEX outbox_line ON outbox (sink, fingerprint, id) WHERE unfinished = 1;
CREATE INDEX outbox_urgent ON outbox (sink, rank DESC, id, due_ms, fingerprint) WHERE unfinished = 1;
CREATE INDEX outbox_by_state ON outbox (state, id);
CREATE INDEX outbox_of ON outbox (incident, id);
CREATE INDEX outbox_settled ON outbox (settled_ms) WHERE settled_ms IS NOT NULL;

-- What a sink told us to remember of an incident (a thread to reply to).
CREATE TABLE sink_memory (
    incident TEXT NOT NULL,
    sink     TEXT NOT NULL,
    memory   TEXT NOT NULL,
    PRIMARY KEY (incident, sink)
);

CREATE TABLE keys (
    arn     TEXT PRIMARY KEY,
    kept_ms BIGINT NOT NULL,
    body    TEXT NOT NULL
);

CREATE TABLE quarantine (
    id     TEXT PRIMARY KEY,
    at_ms  BIGINT NOT NULL,
    reason TEXT NOT NULL,
    body   TEXT NOT NULL
);
CREATE INDEX quarantine_by_age ON quarantine (at_ms);
