-- Jobs that were asked for and are answered later. On disk before they are acknowledged; whichever silo has claimed one runs it.
CREATE TABLE async_jobs (
  id          text   NOT NULL PRIMARY KEY,
  account_id  text   NOT NULL REFERENCES accounts (id),
  -- With whose authority it runs; a key that is revoked meanwhile runs nothing.
  key_id      text   NOT NULL,
  -- chat, completion, embedding
  kind        text   NOT NULL,
  model       text   NOT NULL,
  -- The request's body; NULL once the job has ended.
  request     bytea  NULL,
  -- A JSON object of texts.
  metadata    text   NULL,
  -- Told of its end, beside those that are told of all ends.
  webhook_id  text   NULL,
  -- queued, running; completed, failed, cancelled, expired
  state       text   NOT NULL,
  -- How often it was claimed: the fence. Only its latest attempt may end it.
  attempt     bigint NOT NULL,
  -- Attempts that came to nothing for a reason that counts against the job.
  failures    bigint NOT NULL,
  -- While queued: not claimed before.
  not_before  bigint NOT NULL,
  -- While running: which process has it, and until when it is that process's alone.
  owner       text   NULL,
  lease_until bigint NULL,
  -- Of the attempt that ended it.
  request_id  text   NULL,
  node_id     text   NULL,
  status_code bigint NULL,
  result      bytea  NULL,
  created_at  bigint NOT NULL,
  started_at  bigint NULL,
  finished_at bigint NULL,
  expires_at  bigint NOT NULL
);

CREATE INDEX async_jobs_account ON async_jobs (account_id, id);
CREATE INDEX async_jobs_due ON async_jobs (state, account_id, not_before, id);
CREATE INDEX async_jobs_expiry ON async_jobs (state, expires_at);
CREATE INDEX async_jobs_owner ON async_jobs (owner);
CREATE INDEX async_jobs_finished ON async_jobs (finished_at);

-- What happened to a job, for those who follow it.
CREATE TABLE async_job_events (
  job_id text   NOT NULL REFERENCES async_jobs (id),
  seq    bigint NOT NULL,
  -- queued, running, waiting; completed, failed, cancelled, expired
  type   text   NOT NULL,
  at     bigint NOT NULL,
  -- Why, in words; NULL where the type says all.
  detail text   NULL,
  PRIMARY KEY (job_id, seq)
);
