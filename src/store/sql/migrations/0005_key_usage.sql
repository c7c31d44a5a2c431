-- Who uses which key, learnt from the stream: for people.
CREATE TABLE key_usage (
    arn     TEXT PRIMARY KEY,
    kept_ms BIGINT NOT NULL,
    body    TEXT NOT NULL
);
CREATE INDEX key_usage_by_age ON key_usage (kept_ms);
