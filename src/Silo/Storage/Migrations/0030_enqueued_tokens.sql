-- What a batch's prompts come to, by model, a JSON object of numbers; NULL until its lines have been read.
ALTER TABLE batches ADD COLUMN enqueued text NULL;
