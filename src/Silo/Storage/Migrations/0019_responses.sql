-- Answers that an account asked to be kept, so that its next request can go on from them.
CREATE TABLE responses (
  id           text   NOT NULL PRIMARY KEY,
  account_id   text   NOT NULL REFERENCES accounts (id),
  created_at   bigint NOT NULL,
  expires_at   bigint NOT NULL,
  -- Of the two texts below.
  bytes        bigint NOT NULL CHECK (bytes >= 0),
  -- The response object, JSON.
  response     text   NOT NULL,
  -- The messages up to and with this answer, JSON.
  conversation text   NOT NULL
);
CREATE INDEX responses_account ON responses (account_id, created_at);
CREATE INDEX responses_expiry ON responses (expires_at);
