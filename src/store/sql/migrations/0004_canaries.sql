-- The calls that canaries made, and what came back.
CREATE TABLE canary_calls (
    id     TEXT PRIMARY KEY,
    canary TEXT NOT NULL,
    at_ms  BIGINT NOT NULL,
    body   TEXT NOT NULL
);
CREATE INDEX canary_calls_of ON canary_calls (canary, at_ms, id);
CREATE INDEX canary_calls_by_age ON canary_calls (at_ms);
