-- 1: of an asynchronous job or a batch, which nobody waited for: it is no request of its account's minute.
ALTER TABLE jobs ADD COLUMN is_background bigint NOT NULL DEFAULT 0;
