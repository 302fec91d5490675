-- What is remembered of a node is remembered by the weights, the first field of a determinism class: the rest is the node's word and can change with every job.
ALTER TABLE reputations RENAME COLUMN dc TO weights;
ALTER TABLE inference_histories RENAME COLUMN determinism_class TO weights;
ALTER TABLE earnings ADD COLUMN weights text NOT NULL DEFAULT '';

UPDATE earnings SET weights = CASE WHEN dc LIKE 'sha256:%/%' THEN substr(dc, 1, 71) ELSE dc END;

-- What was written by class becomes one: what speaks against the node counts as it was at its worst.
INSERT INTO reputations (node_id, weights, passes_e9, failures_e9, audit_all_units, audits_passed, recent_units_e9, counted_at, abandoned_e9)
SELECT node_id, substr(weights, 1, 71), MIN(passes_e9), MAX(failures_e9), MAX(audit_all_units), SUM(audits_passed), SUM(recent_units_e9), MAX(counted_at), MAX(abandoned_e9)
FROM reputations WHERE weights LIKE 'sha256:%/%' GROUP BY node_id, substr(weights, 1, 71)
ON CONFLICT (node_id, weights) DO UPDATE SET
  failures_e9 = excluded.failures_e9, audit_all_units = excluded.audit_all_units, audits_passed = reputations.audits_passed + excluded.audits_passed,
  recent_units_e9 = excluded.recent_units_e9, counted_at = excluded.counted_at, abandoned_e9 = excluded.abandoned_e9;

DELETE FROM reputations WHERE weights LIKE 'sha256:%/%';
