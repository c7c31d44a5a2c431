-- What a person silenced, until when.
CREATE TABLE silences (
    id      TEXT PRIMARY KEY,
    -- When it ended, or will at the latest.
    ends_ms BIGINT NOT NULL,
    -- 1 once it ended before its time; nothing changes it any more.
    ended   BIGINT NOT NULL,
    body    TEXT NOT NULL
);
CREATE INDEX silences_by_end ON silences (ends_ms);

-- 1 while the incident owes people a notification that something holds back.
ALTER TABLE situations ADD COLUMN held BIGINT NOT NULL DEFAULT 0;
CREATE INDEX situations_held ON situations (fingerprint) WHERE held = 1;
