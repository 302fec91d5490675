-- What was found out about nodes, what it led to, and what their work earned until it has matured or is forfeited.

-- One row per node that evidence has been heard of; nodes.standing repeats the standing.
CREATE TABLE standings (
  node_id             text   NOT NULL PRIMARY KEY REFERENCES nodes (id),
  standing            text   NOT NULL,
  since               bigint NOT NULL,
  -- Why, in words.
  reason              text   NOT NULL,
  audits_passed       bigint NOT NULL,
  challenges_passed   bigint NOT NULL,
  challenge_passed_at bigint NULL,
  mismatch_at         bigint NULL,
  shadow_mismatch_at  bigint NULL,
  -- The class the last challenge measured, and when and how; NULL until one has.
  hardware_class      text   NULL,
  measured_at         bigint NULL,
  measurement         text   NULL
);

CREATE TABLE reputations (
  node_id         text   NOT NULL REFERENCES nodes (id),
  -- The determinism class.
  dc              text   NOT NULL,
  -- a, b, and the fading count of units, in billionths.
  passes_e9       bigint NOT NULL,
  failures_e9     bigint NOT NULL,
  audit_all_units bigint NOT NULL,
  audits_passed   bigint NOT NULL,
  recent_units_e9 bigint NOT NULL,
  counted_at      bigint NOT NULL,
  PRIMARY KEY (node_id, dc)
);

CREATE INDEX reputations_dc ON reputations (dc);

-- Append-only: every piece of evidence and what was decided on it.
CREATE TABLE verification_events (
  seq          {identity},
  -- Made by whoever reports: the same report twice is one event.
  id           text   NOT NULL UNIQUE,
  node_id      text   NOT NULL REFERENCES nodes (id),
  at           bigint NOT NULL,
  -- What was looked at: challenge, audit, canary, probe, job, appeal, operator.
  kind         text   NOT NULL,
  -- The number of the evidence.
  evidence     bigint NOT NULL,
  dc           text   NULL,
  receipt_id   text   NULL,
  -- Of what was decided: numbers of consequences added up; 1 when they were not applied.
  consequences bigint NOT NULL,
  shadow       bigint NOT NULL CHECK (shadow IN (0, 1)),
  standing     text   NOT NULL,
  -- What was found, and what was decided and why.
  finding      text   NOT NULL,
  decision     text   NOT NULL,
  -- The record behind it, JSON; NULL when there is none.
  details      text   NULL
);

CREATE INDEX verification_events_node ON verification_events (node_id, seq);

CREATE TABLE earnings (
  -- The receipt's id, or sb_… for standby.
  id               text   NOT NULL PRIMARY KEY,
  receipt_id       text   NULL UNIQUE REFERENCES receipts (id),
  node_id          text   NOT NULL REFERENCES nodes (id),
  account_id       text   NOT NULL,
  -- What the ledger's movements refer to.
  reference        text   NOT NULL,
  dc               text   NOT NULL,
  -- 0 booked and not signed, 1 pending, 2 matured, 3 forfeited
  state            bigint NOT NULL CHECK (state BETWEEN 0 AND 3),
  -- What was put on the pending balance, and what of it is left after corrections; microcredits.
  credited         bigint NOT NULL CHECK (credited >= 0),
  amount           bigint NOT NULL CHECK (amount BETWEEN 0 AND credited),
  -- Reference work claimed and paid, µs, and why not all of it is; NULL when it is.
  reference_us     bigint NOT NULL,
  payable_us       bigint NOT NULL,
  unpaid           text   NULL,
  -- The hour whose cap it counts against, and the time it took, by the hub's clock.
  hour             bigint NOT NULL,
  dispatch_ms      bigint NOT NULL,
  last_ms          bigint NOT NULL,
  -- What it takes to work the pay out again for another class.
  hardware_class   text   NOT NULL,
  model_bytes      bigint NOT NULL,
  prompt_tokens    bigint NOT NULL,
  completion_tokens bigint NOT NULL,
  multiplier       bigint NOT NULL,
  -- The rate its audit is drawn by, and where that stands: 0 not drawn, 1 drawn, 2 doubted, 3 done.
  audit_rate       bigint NOT NULL CHECK (audit_rate BETWEEN 0 AND 1000000),
  audit            bigint NOT NULL CHECK (audit BETWEEN 0 AND 3),
  audits_before    bigint NOT NULL,
  audits_needed    bigint NOT NULL,
  credited_at      bigint NULL,
  matures_at       bigint NULL,
  -- The epoch whose root it is in; NULL until it is.
  epoch            bigint NULL,
  -- Decided and not carried out yet: the event that forfeits it, the class it is to be paid as and the event that says so.
  condemned_by     text   NULL,
  rerate_to        text   NULL,
  rerated_by       text   NULL,
  ended_at         bigint NULL
);

CREATE INDEX earnings_node ON earnings (node_id, state, matures_at);
CREATE INDEX earnings_hour ON earnings (node_id, hour);
CREATE INDEX earnings_due ON earnings (matures_at) WHERE state = 1;
CREATE INDEX earnings_condemned ON earnings (node_id) WHERE state = 1 AND (condemned_by IS NOT NULL OR rerate_to IS NOT NULL);
CREATE INDEX earnings_unrooted ON earnings (credited_at) WHERE epoch IS NULL AND receipt_id IS NOT NULL AND credited_at IS NOT NULL;
CREATE INDEX earnings_epoch ON earnings (epoch, id);

-- One row per hour, made before it begins.
CREATE TABLE epochs (
  epoch        bigint NOT NULL PRIMARY KEY,
  -- The secret its beacon is made from, published when it is revealed; and its hash, published at once.
  secret       bytea  NOT NULL,
  commitment   bytea  NOT NULL,
  committed_at bigint NOT NULL,
  -- 1 open, 2 rooted, 3 revealed
  state        bigint NOT NULL CHECK (state BETWEEN 1 AND 3),
  root         bytea  NULL,
  receipts     bigint NULL,
  -- The hub's, over epoch, commitment, root and number of receipts.
  signature    bytea  NULL,
  rooted_at    bigint NULL,
  beacon       bytea  NULL,
  revealed_at  bigint NULL
);

CREATE TABLE appeals (
  id           text   NOT NULL PRIMARY KEY,
  node_id      text   NOT NULL REFERENCES nodes (id),
  account_id   text   NOT NULL,
  -- The decision it is against.
  event_id     text   NOT NULL REFERENCES verification_events (id),
  words        text   NOT NULL,
  -- open, granted, refused
  state        text   NOT NULL,
  created_at   bigint NOT NULL,
  decided_at   bigint NULL,
  decided_by   text   NULL,
  answer       text   NULL,
  -- What was given back, microcredits.
  compensation bigint NULL
);

CREATE INDEX appeals_node ON appeals (node_id, created_at);

-- What was earned before all this: held as a new node's earnings are, and judged like any other.
INSERT INTO earnings (id, receipt_id, node_id, account_id, reference, dc, state, credited, amount, reference_us, payable_us, hour, dispatch_ms, last_ms,
                      hardware_class, model_bytes, prompt_tokens, completion_tokens, multiplier, audit_rate, audit, audits_before, audits_needed, credited_at, matures_at)
SELECT r.id, r.id, r.node_id, n.account_id, r.job_id, COALESCE(j.model_digest, j.model, ''), CASE r.state WHEN 'issued' THEN 1 ELSE 0 END, r.credited, r.credited, 0, 0, r.epoch,
       COALESCE(j.dispatched_at, r.created_at), COALESCE(j.finished_at, r.created_at), '', 0, COALESCE(j.prompt_tokens, 0), COALESCE(j.completion_tokens, 0), 1, 1000000, 0, 0, 10,
       r.issued_at, r.issued_at + 604800000
FROM receipts r JOIN nodes n ON n.id = r.node_id LEFT JOIN jobs j ON j.id = r.job_id;
