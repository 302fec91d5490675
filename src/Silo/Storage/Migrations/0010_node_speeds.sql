-- How fast nodes answered the inference benchmark, the last time for each model.
CREATE TABLE node_speeds (
  node_id        text   NOT NULL REFERENCES nodes (id),
  -- The digest of the weights, or their name where the engine does not tell it.
  weights        text   NOT NULL,
  model          text   NOT NULL,
  -- By matrix and memory challenges.
  hardware_class text   NOT NULL,
  -- Time a token of the prompt and a generated one took, ns.
  prompt_ns      bigint NOT NULL CHECK (prompt_ns > 0),
  token_ns       bigint NOT NULL CHECK (token_ns > 0),
  measured_at    bigint NOT NULL,
  PRIMARY KEY (node_id, weights)
);

CREATE INDEX node_speeds_class ON node_speeds (hardware_class, weights, measured_at);

-- The class by matrix and memory challenges alone, where the inference benchmark measured a lesser one: hardware_class is what is paid.
ALTER TABLE standings ADD COLUMN compute_class text NULL;
