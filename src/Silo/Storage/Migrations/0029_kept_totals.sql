-- What an account has of jobs that have ended: a sum over them all at each end would cost the more the more there are.
CREATE TABLE kept_jobs (
  account_id text   NOT NULL PRIMARY KEY REFERENCES accounts (id),
  jobs       bigint NOT NULL,
  bytes      bigint NOT NULL
);

INSERT INTO kept_jobs (account_id, jobs, bytes) SELECT account_id, count(*), CAST(sum(bytes) AS bigint) FROM async_jobs WHERE finished_at IS NOT NULL GROUP BY account_id;
