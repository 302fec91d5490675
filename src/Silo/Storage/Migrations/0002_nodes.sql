CREATE TABLE nodes (
  id            text   NOT NULL PRIMARY KEY,
  account_id    text   NOT NULL REFERENCES accounts (id),
  -- SubjectPublicKeyInfo, DER.
  public_key    bytea  NOT NULL UNIQUE,
  display_name  text   NOT NULL,
  -- probation, trusted, quarantined, banned
  standing      text   NOT NULL,
  agent_version text   NULL,
  -- What the node last said it has, JSON.
  hardware      text   NULL,
  created_at    bigint NOT NULL,
  last_seen_at  bigint NULL
);

CREATE INDEX nodes_account ON nodes (account_id);
