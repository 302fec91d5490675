-- What nodes showed when all of their account, or of their network, were challenged at the same time: whether they are as many machines as they say.
CREATE TABLE common_slots (
  node_id text   NOT NULL REFERENCES nodes (id),
  -- When the slot began.
  slot_at bigint NOT NULL,
  passed  bigint NOT NULL CHECK (passed IN (0, 1)),
  -- In words.
  finding text   NOT NULL,
  PRIMARY KEY (node_id, slot_at)
);
