-- What a key may at most, beside what its account may; NULL is no limit of the key's own.
-- A JSON array of patterns of models.
ALTER TABLE api_keys ADD COLUMN models text NULL;
ALTER TABLE api_keys ADD COLUMN requests_per_minute bigint NULL;
ALTER TABLE api_keys ADD COLUMN tokens_per_day bigint NULL;
-- Microcredits, and the span in which they may be spent: day, month.
ALTER TABLE api_keys ADD COLUMN budget bigint NULL;
ALTER TABLE api_keys ADD COLUMN budget_period text NULL;
-- The secret before the latest rotation, and until when it still opens.
ALTER TABLE api_keys ADD COLUMN previous_sha256 bytea NULL;
ALTER TABLE api_keys ADD COLUMN previous_until bigint NULL;

CREATE UNIQUE INDEX api_keys_previous ON api_keys (previous_sha256) WHERE previous_sha256 IS NOT NULL;

-- What a key has spent of its budget; most jobs cost nothing.
CREATE INDEX jobs_priced ON jobs (key_id, created_at) WHERE price > 0;
