-- While nobody has it: not claimed before. NULL: at once.
ALTER TABLE batches ADD COLUMN not_before bigint NULL;
