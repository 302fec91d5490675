-- Answers to requests that came with an Idempotency-Key, for as long as they may be asked again. Of the request there is only a hash.
CREATE TABLE idempotent_answers (
  account_id   text   NOT NULL,
  -- SHA-256 of the client's key.
  key_hash     bytea  NOT NULL,
  -- SHA-256 of what was asked.
  request_hash bytea  NOT NULL,
  job_id       text   NOT NULL,
  -- Which way the answer came, and from which node; empty where from none.
  route        text   NOT NULL,
  node_id      text   NOT NULL,
  attempts     bigint NOT NULL,
  queued_ms    bigint NOT NULL,
  status       bigint NOT NULL,
  content_type text   NOT NULL,
  -- 1: the answer is an event stream.
  is_stream    bigint NOT NULL,
  -- NULL where it was too large to keep.
  answer       bytea  NULL,
  -- Of the answer.
  bytes        bigint NOT NULL,
  expires_at   bigint NOT NULL,
  PRIMARY KEY (account_id, key_hash)
);

-- What an account has kept, and what is due to go.
CREATE INDEX idempotent_answers_account ON idempotent_answers (account_id, expires_at, bytes);
CREATE INDEX idempotent_answers_expiry ON idempotent_answers (expires_at);
