-- One row per finished job: who asked for what, who answered, what it took. Written together with the job's settlement.
-- No foreign keys here and on receipts' jobs: what was done stays on record whatever becomes of account, key or node.
CREATE TABLE jobs (
  id                text   NOT NULL PRIMARY KEY,
  account_id        text   NOT NULL,
  key_id            text   NULL,
  -- chat, completion, embedding, compute
  kind              text   NOT NULL,
  model             text   NOT NULL,
  model_digest      text   NULL,
  -- Who gave the answer: a node, or NULL where none did.
  node_id           text   NULL,
  -- How many leases it took, the last one included.
  attempt           bigint NOT NULL,
  prompt_tokens     bigint NOT NULL,
  completion_tokens bigint NOT NULL,
  -- What the account paid, microcredits.
  price             bigint NOT NULL,
  -- completed, failed, cancelled
  status            text   NOT NULL,
  finish_reason     text   NULL,
  created_at        bigint NOT NULL,
  dispatched_at     bigint NULL,
  first_output_at   bigint NULL,
  finished_at       bigint NOT NULL
);

CREATE INDEX jobs_account ON jobs (account_id, created_at);
CREATE INDEX jobs_node ON jobs (node_id, created_at);

CREATE TABLE receipts (
  -- SHA-256 of the payload, hexadecimal.
  id             text   NOT NULL PRIMARY KEY,
  node_id        text   NOT NULL REFERENCES nodes (id),
  seq            bigint NOT NULL,
  epoch          bigint NOT NULL,
  job_id         text   NOT NULL,
  attempt        bigint NOT NULL,
  payload        bytea  NOT NULL,
  node_signature bytea  NULL,
  hub_signature  bytea  NULL,
  -- offered, issued, disputed
  state          text   NOT NULL,
  objection      text   NULL,
  -- What it put on the owner's pending balance, microcredits.
  credited       bigint NOT NULL,
  created_at     bigint NOT NULL,
  issued_at      bigint NULL,
  UNIQUE (node_id, seq),
  UNIQUE (job_id, attempt)
);

CREATE INDEX receipts_epoch ON receipts (epoch);
