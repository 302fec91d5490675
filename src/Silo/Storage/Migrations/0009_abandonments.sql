-- What a node's abandoned leases weigh, fading with every unit it delivers, in billionths.
ALTER TABLE reputations ADD COLUMN abandoned_e9 bigint NOT NULL DEFAULT 0;
