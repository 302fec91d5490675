-- What the judge remembers of a node in one determinism class, from audit to audit: draws that wait for their test, and the sums. JSON.
CREATE TABLE inference_histories (
  node_id           text   NOT NULL REFERENCES nodes (id),
  determinism_class text   NOT NULL,
  history           text   NOT NULL,
  updated_at        bigint NOT NULL,
  PRIMARY KEY (node_id, determinism_class)
);
