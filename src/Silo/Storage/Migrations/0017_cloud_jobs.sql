-- Which cloud provider gave the answer; NULL where a node did, or nobody.
ALTER TABLE jobs ADD COLUMN provider text NULL;
