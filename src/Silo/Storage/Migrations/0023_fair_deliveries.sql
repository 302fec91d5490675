-- What is due is looked for endpoint by endpoint, so that one with thousands of deliveries holds up no other.
DROP INDEX webhook_deliveries_due;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (state, webhook_id, next_at);

-- When a test was sent to it last.
ALTER TABLE webhooks ADD COLUMN tested_at bigint NULL;
