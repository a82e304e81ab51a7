-- An answer shows the first 50 of the rejected; the others are kept beside it, so that it can be read to the end.
ALTER TABLE recommendations ADD COLUMN more_rejected_json TEXT;
