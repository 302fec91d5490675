-- Migration 11 joined what is kept by class where the weights have a digest, and left it where an engine tells none: what was pending there counted audits of a class that comes no more, and never
-- matured. The weights are a class's first field, up to the first '/', with or without a digest: ltrim takes away all that comes before it.
-- What has passed since an earning was credited stays what it was, whatever it is summed with.
UPDATE earnings SET audits_before = audits_before
  + COALESCE((SELECT CAST(SUM(r.audits_passed) AS bigint) FROM reputations r
      WHERE r.node_id = earnings.node_id
        AND substr(r.weights, 1, length(r.weights) - length(ltrim(r.weights, replace(r.weights, '/', ''))))
          = substr(earnings.weights, 1, length(earnings.weights) - length(ltrim(earnings.weights, replace(earnings.weights, '/', ''))))), 0)
  - COALESCE((SELECT r.audits_passed FROM reputations r WHERE r.node_id = earnings.node_id AND r.weights = earnings.weights), 0)
WHERE state = 1 AND node_id IN (SELECT node_id FROM reputations WHERE weights LIKE '%/%');

UPDATE earnings SET weights = substr(weights, 1, length(weights) - length(ltrim(weights, replace(weights, '/', '')))) WHERE weights LIKE '%/%';

-- As there: what speaks against the node counts as it was at its worst.
INSERT INTO reputations (node_id, weights, passes_e9, failures_e9, audit_all_units, audits_passed, recent_units_e9, counted_at, abandoned_e9)
SELECT node_id, substr(weights, 1, length(weights) - length(ltrim(weights, replace(weights, '/', '')))), MIN(passes_e9), MAX(failures_e9), MAX(audit_all_units),
  CAST(SUM(audits_passed) AS bigint), CAST(SUM(recent_units_e9) AS bigint), MAX(counted_at), MAX(abandoned_e9)
FROM reputations WHERE weights LIKE '%/%' GROUP BY node_id, substr(weights, 1, length(weights) - length(ltrim(weights, replace(weights, '/', ''))))
ON CONFLICT (node_id, weights) DO UPDATE SET
  passes_e9 = CASE WHEN excluded.passes_e9 < reputations.passes_e9 THEN excluded.passes_e9 ELSE reputations.passes_e9 END,
  failures_e9 = CASE WHEN excluded.failures_e9 > reputations.failures_e9 THEN excluded.failures_e9 ELSE reputations.failures_e9 END,
  audit_all_units = CASE WHEN excluded.audit_all_units > reputations.audit_all_units THEN excluded.audit_all_units ELSE reputations.audit_all_units END,
  audits_passed = reputations.audits_passed + excluded.audits_passed,
  recent_units_e9 = reputations.recent_units_e9 + excluded.recent_units_e9,
  counted_at = CASE WHEN excluded.counted_at > reputations.counted_at THEN excluded.counted_at ELSE reputations.counted_at END,
  abandoned_e9 = CASE WHEN excluded.abandoned_e9 > reputations.abandoned_e9 THEN excluded.abandoned_e9 ELSE reputations.abandoned_e9 END;

DELETE FROM reputations WHERE weights LIKE '%/%';
