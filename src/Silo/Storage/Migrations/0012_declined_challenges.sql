-- Since a node was last measured: sittings it declined in a row, and how long it was connected. Beyond bounds its class lapses until it sits again.
ALTER TABLE standings ADD COLUMN declines bigint NOT NULL DEFAULT 0;
ALTER TABLE standings ADD COLUMN unmeasured_ms bigint NOT NULL DEFAULT 0;
