-- What grains keep between activations.
CREATE TABLE grain_state (
  -- The name given to the grain's persistent state.
  state_name text   NOT NULL,
  grain_id   text   NOT NULL,
  -- UTF-8 JSON.
  payload    bytea  NOT NULL,
  -- The etag: raised by one with every write, from a random beginning.
  version    bigint NOT NULL,
  updated_at bigint NOT NULL,
  PRIMARY KEY (state_name, grain_id)
);
