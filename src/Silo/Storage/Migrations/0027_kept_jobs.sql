-- Of the request while it waits, of the answer once it has ended.
ALTER TABLE async_jobs ADD COLUMN bytes bigint NOT NULL DEFAULT 0;
UPDATE async_jobs SET bytes = COALESCE(length(request), 0) + COALESCE(length(result), 0);

-- What an account has that waits, and what it has kept.
CREATE INDEX async_jobs_kept ON async_jobs (account_id, finished_at, id, bytes);
