-- How long what a key signs may be good, at most: it stays in its set for so long after its last signature. Of keys of
-- earlier versions, which knew one time for all, it is 0, and their set's own time counts.
ALTER TABLE keys ADD COLUMN retire_after BIGINT NOT NULL DEFAULT 0;
