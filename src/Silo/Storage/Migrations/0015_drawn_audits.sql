-- What is drawn and not judged is looked for twice a minute: a few among all that was ever earned, each owner's in turn.
CREATE INDEX earnings_drawn ON earnings (account_id, epoch, id) WHERE audit = 1;
