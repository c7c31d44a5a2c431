-- The newest key policies seen, for each key: what a new one is compared with.
CREATE TABLE policies (
    arn     TEXT PRIMARY KEY,
    kept_ms BIGINT NOT NULL,
    body    TEXT NOT NULL
);
CREATE INDEX policies_by_age ON policies (kept_ms);
