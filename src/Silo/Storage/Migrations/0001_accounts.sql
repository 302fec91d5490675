-- Who owns credits, and how they prove it. Every time is unix milliseconds, UTC; every secret is a SHA-256, never itself.
-- Written once for SQLite and PostgreSQL: bigint, text and bytea mean the same to both; {identity} is the dialect's.

CREATE TABLE accounts (
  id         text   NOT NULL PRIMARY KEY,
  name       text   NOT NULL,
  -- free, contributor, pro, unlimited, enterprise
  tier       text   NOT NULL,
  created_at bigint NOT NULL,
  closed_at  bigint NULL
);

CREATE TABLE api_keys (
  id           text   NOT NULL PRIMARY KEY,
  account_id   text   NOT NULL REFERENCES accounts (id),
  name         text   NOT NULL,
  sha256       bytea  NOT NULL UNIQUE,
  -- The first characters of the key, so that its owner can tell it from the others.
  prefix       text   NOT NULL,
  -- Words separated by one space.
  scopes       text   NOT NULL,
  created_at   bigint NOT NULL,
  expires_at   bigint NULL,
  revoked_at   bigint NULL,
  last_used_at bigint NULL
);

CREATE INDEX api_keys_account ON api_keys (account_id);

CREATE TABLE join_tokens (
  sha256       bytea  NOT NULL PRIMARY KEY,
  account_id   text   NOT NULL REFERENCES accounts (id),
  -- What the contributor said of the machine when asking for the token, JSON; NULL when nothing was said.
  announcement text   NULL,
  created_at   bigint NOT NULL,
  expires_at   bigint NOT NULL,
  used_at      bigint NULL,
  used_by_node text   NULL
);

CREATE INDEX join_tokens_account ON join_tokens (account_id);
