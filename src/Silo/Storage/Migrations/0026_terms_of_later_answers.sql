-- Whose nodes may read it: own, trusted; NULL: anybody's.
ALTER TABLE async_jobs ADD COLUMN privacy text NULL;
-- What the answer may cost, microcredits; NULL: what the account has.
ALTER TABLE async_jobs ADD COLUMN max_cost bigint NULL;
-- The same, of each line.
ALTER TABLE batches ADD COLUMN privacy text NULL;
ALTER TABLE batches ADD COLUMN max_cost bigint NULL;
