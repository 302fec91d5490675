-- OpenAI's files, in pieces: whichever silo took one, every silo has it, and a backup of the database is whole.
CREATE TABLE files (
  id         text   NOT NULL PRIMARY KEY,
  account_id text   NOT NULL REFERENCES accounts (id),
  -- batch, batch_output
  purpose    text   NOT NULL,
  filename   text   NOT NULL,
  bytes      bigint NOT NULL,
  -- writing, ready; what a silo that died was writing is deleted after a while.
  state      text   NOT NULL,
  created_at bigint NOT NULL,
  expires_at bigint NULL
);

CREATE INDEX files_account ON files (account_id, id);
CREATE INDEX files_state ON files (state, created_at);
CREATE INDEX files_expiry ON files (expires_at);

CREATE TABLE file_pieces (
  file_id text   NOT NULL REFERENCES files (id),
  seq     bigint NOT NULL,
  content bytea  NOT NULL,
  PRIMARY KEY (file_id, seq)
);

CREATE TABLE batches (
  id             text   NOT NULL PRIMARY KEY,
  account_id     text   NOT NULL REFERENCES accounts (id),
  key_id         text   NOT NULL,
  -- chat, completion, embedding
  kind           text   NOT NULL,
  input_file_id  text   NOT NULL,
  output_file_id text   NULL,
  error_file_id  text   NULL,
  metadata       text   NULL,
  -- validating, in_progress, cancelling, finalizing; completed, failed, cancelled, expired
  state          text   NOT NULL,
  -- What is wrong with its lines, a JSON array; NULL when nothing is.
  errors         text   NULL,
  -- Models of its lines that the hub knew when they were read, a JSON array: one that is away later is waited for.
  models         text   NULL,
  lines_total     bigint NOT NULL,
  lines_completed bigint NOT NULL,
  lines_failed    bigint NOT NULL,
  -- How often it was claimed: the fence.
  attempt        bigint NOT NULL,
  owner          text   NULL,
  lease_until    bigint NULL,
  created_at     bigint NOT NULL,
  in_progress_at bigint NULL,
  finalizing_at  bigint NULL,
  cancelling_at  bigint NULL,
  -- When it came to its end, whichever.
  finished_at    bigint NULL,
  expires_at     bigint NOT NULL
);

CREATE INDEX batches_account ON batches (account_id, id);
CREATE INDEX batches_state ON batches (state, created_at);
CREATE INDEX batches_owner ON batches (owner);
CREATE INDEX batches_finished ON batches (finished_at);

-- The answers of a batch until they are in its files: a line that is here is not asked again.
CREATE TABLE batch_answers (
  batch_id text   NOT NULL REFERENCES batches (id),
  line     bigint NOT NULL,
  is_error bigint NOT NULL,
  -- The line of the output or error file, without its line break.
  content  bytea  NOT NULL,
  PRIMARY KEY (batch_id, line)
);
