-- How often the rows of some kind have changed, so that a node that asks often asks one small question.
-- `revocations` counts rows that came, `revocations_removed` those that were taken back.
CREATE TABLE change_counters (
    subject TEXT   PRIMARY KEY,
    counter BIGINT NOT NULL
);
INSERT INTO change_counters (subject, counter) VALUES ('revocations', 0);
INSERT INTO change_counters (subject, counter) VALUES ('revocations_removed', 0);

-- The value of the counter that a row came with: a node asks for those behind what it has seen. 0 is of rows
-- from before.
ALTER TABLE revocations ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0;
CREATE INDEX revocations_by_sequence ON revocations (sequence);
