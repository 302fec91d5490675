-- The id of a receipt, a hash, stood in two indexes still, and each answer adds a page for each of them to what a commit writes. One is enough: who knows an id comes by its earning, which every receipt has, to its job,
-- and so to its row; who writes it knows its place in its node's chain.
ALTER TABLE receipts RENAME TO receipts_before;
ALTER TABLE earnings RENAME TO earnings_before;

CREATE TABLE earnings (
  -- The receipt's id, or sb_… for standby.
  id               text   NOT NULL PRIMARY KEY,
  -- The same id; NULL for standby.
  receipt_id       text   NULL,
  node_id          text   NOT NULL REFERENCES nodes (id),
  account_id       text   NOT NULL,
  -- What the ledger's movements refer to.
  reference        text   NOT NULL,
  dc               text   NOT NULL,
  weights          text   NOT NULL DEFAULT '',
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
  ended_at         bigint NULL,
  CHECK (receipt_id = id)
);

INSERT INTO earnings (id, receipt_id, node_id, account_id, reference, dc, weights, state, credited, amount, reference_us, payable_us, unpaid, hour, dispatch_ms, last_ms, hardware_class, model_bytes,
                           prompt_tokens, completion_tokens, multiplier, audit_rate, audit, audits_before, audits_needed, credited_at, matures_at, epoch, condemned_by, rerate_to, rerated_by, ended_at)
SELECT id, receipt_id, node_id, account_id, reference, dc, weights, state, credited, amount, reference_us, payable_us, unpaid, hour, dispatch_ms, last_ms, hardware_class, model_bytes,
       prompt_tokens, completion_tokens, multiplier, audit_rate, audit, audits_before, audits_needed, credited_at, matures_at, epoch, condemned_by, rerate_to, rerated_by, ended_at
FROM earnings_before;

DROP TABLE earnings_before;

CREATE TABLE receipts (
  -- SHA-256 of the payload, hexadecimal. Looked for by the earning of the same id and its reference, the job.
  id             text   NOT NULL,
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
  PRIMARY KEY (node_id, seq),
  UNIQUE (job_id, attempt)
);

INSERT INTO receipts (id, node_id, seq, epoch, job_id, attempt, payload, node_signature, hub_signature, state, objection, credited, created_at, issued_at)
SELECT id, node_id, seq, epoch, job_id, attempt, payload, node_signature, hub_signature, state, objection, credited, created_at, issued_at
FROM receipts_before ORDER BY created_at, node_id, seq;

DROP TABLE receipts_before;

CREATE INDEX earnings_node ON earnings (node_id, state, matures_at);
CREATE INDEX earnings_hour ON earnings (node_id, hour);
CREATE INDEX earnings_due ON earnings (matures_at) WHERE state = 1;
CREATE INDEX earnings_condemned ON earnings (node_id) WHERE state = 1 AND (condemned_by IS NOT NULL OR rerate_to IS NOT NULL);
CREATE INDEX earnings_unrooted ON earnings (credited_at) WHERE epoch IS NULL AND receipt_id IS NOT NULL AND credited_at IS NOT NULL;
CREATE INDEX earnings_epoch ON earnings (epoch, id) WHERE epoch IS NOT NULL;
CREATE INDEX earnings_drawn ON earnings (account_id, epoch, id) WHERE audit = 1;
