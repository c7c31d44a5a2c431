-- 1 once a sweep has looked at the key. What was kept before does not say: it counts as never looked at.
ALTER TABLE keys ADD COLUMN swept BIGINT NOT NULL DEFAULT 0;
