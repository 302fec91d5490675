-- The ledger: amounts are microcredits. The checks repeat what the code already ensures; they hold even against a bug.

CREATE TABLE ledger_accounts (
  id              text   NOT NULL PRIMARY KEY,
  -- 1: may go below zero. The treasury alone.
  overdraft       bigint NOT NULL CHECK (overdraft IN (0, 1)),
  debits_pending  bigint NOT NULL DEFAULT 0 CHECK (debits_pending >= 0),
  debits_posted   bigint NOT NULL DEFAULT 0 CHECK (debits_posted >= 0),
  credits_pending bigint NOT NULL DEFAULT 0 CHECK (credits_pending >= 0),
  credits_posted  bigint NOT NULL DEFAULT 0 CHECK (credits_posted >= 0),
  opened_at       bigint NOT NULL,
  CHECK (overdraft = 1 OR credits_posted - debits_posted - debits_pending >= 0)
);

-- Append-only. Among the transfers of one account, seq is the order in which they happened.
CREATE TABLE ledger_transfers (
  seq                    {identity},
  id                     text   NOT NULL UNIQUE,
  -- 1 post, 2 hold, 3 post-hold, 4 void-hold, 5 expire-hold
  kind                   bigint NOT NULL CHECK (kind BETWEEN 1 AND 5),
  reason                 bigint NOT NULL,
  debit_account          text   NOT NULL REFERENCES ledger_accounts (id),
  credit_account         text   NOT NULL REFERENCES ledger_accounts (id),
  -- What moves (post, post-hold) or is reserved (hold); 0 where a hold ends without a movement.
  amount                 bigint NOT NULL CHECK (amount >= 0),
  -- What the end of a hold takes from pending, moved or not; 0 for post and hold.
  released               bigint NOT NULL CHECK (released >= 0),
  hold_id                text   NULL,
  timeout_ms             bigint NULL,
  reference              text   NOT NULL,
  debit_available_after  bigint NOT NULL,
  credit_available_after bigint NOT NULL,
  created_at             bigint NOT NULL,
  CHECK (debit_account <> credit_account)
);

CREATE INDEX ledger_transfers_debit ON ledger_transfers (debit_account, seq);
CREATE INDEX ledger_transfers_credit ON ledger_transfers (credit_account, seq);
CREATE INDEX ledger_transfers_reference ON ledger_transfers (reference) WHERE reference <> '';

-- One row per hold, from its making to its end; what happened to it is in ledger_transfers.
CREATE TABLE ledger_holds (
  id             text   NOT NULL PRIMARY KEY REFERENCES ledger_transfers (id),
  debit_account  text   NOT NULL,
  credit_account text   NOT NULL,
  amount         bigint NOT NULL CHECK (amount > 0),
  expires_at     bigint NOT NULL,
  -- 1 pending, 2 posted, 3 voided, 4 expired
  state          bigint NOT NULL CHECK (state BETWEEN 1 AND 4)
);

CREATE INDEX ledger_holds_due ON ledger_holds (expires_at) WHERE state = 1;

INSERT INTO ledger_accounts (id, overdraft, opened_at) VALUES ('treasury', 1, 0), ('fees', 0, 0), ('burn', 0, 0);
