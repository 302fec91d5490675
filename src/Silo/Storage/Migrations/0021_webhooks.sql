-- Where accounts want to be told of ends. The secret that signs is derived from the hub's key and the version: it is nowhere on disk.
CREATE TABLE webhooks (
  id              text   NOT NULL PRIMARY KEY,
  account_id      text   NOT NULL REFERENCES accounts (id),
  url             text   NOT NULL,
  -- Types of events, separated by one space; empty: only what names the endpoint itself.
  events          text   NOT NULL,
  secret_version  bigint NOT NULL,
  -- The version before signs as well until then; NULL when there is none.
  old_secret_until bigint NULL,
  created_at      bigint NOT NULL,
  deleted_at      bigint NULL
);

CREATE INDEX webhooks_account ON webhooks (account_id, id);

-- One row per event and endpoint, from the commit in which the event happened until it is delivered or given up, and a while longer.
CREATE TABLE webhook_deliveries (
  id          text   NOT NULL PRIMARY KEY,
  webhook_id  text   NOT NULL REFERENCES webhooks (id),
  -- The same for all endpoints and all repetitions of an event: what receivers tell repetitions by.
  event_id    text   NOT NULL,
  type        text   NOT NULL,
  body        bytea  NOT NULL,
  -- waiting, delivered, dead
  state       text   NOT NULL,
  attempts    bigint NOT NULL,
  next_at     bigint NOT NULL,
  -- After this it is dead.
  give_up_at  bigint NOT NULL,
  -- While it is being sent: which process sends it, and until when it is that process's alone.
  owner       text   NULL,
  lease_until bigint NULL,
  last_status bigint NULL,
  last_error  text   NULL,
  created_at  bigint NOT NULL,
  finished_at bigint NULL
);

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (state, next_at);
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (webhook_id, state, id);
CREATE INDEX webhook_deliveries_finished ON webhook_deliveries (finished_at);
