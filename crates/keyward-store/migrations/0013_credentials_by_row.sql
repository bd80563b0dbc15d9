-- Credentials reach nodes a row at a time, without a revision. `mark` is the counter `credentials` as of the row's last
-- change, 0 of rows that came with a revision; `shown` is what callers show of it, as a hash or a user's name, and empty
-- where it is not known.
ALTER TABLE resources ADD COLUMN mark BIGINT NOT NULL DEFAULT 0;
ALTER TABLE resources ADD COLUMN shown TEXT NOT NULL DEFAULT '';
CREATE INDEX resources_by_mark ON resources (mark);
CREATE INDEX resources_by_shown ON resources (team, shown);

-- Credentials that were taken away, by the counter as of then, so that a node learns which these are. They are
-- forgotten after a while: the counter `credentials_removed` tells up to which mark.
CREATE TABLE removed_credentials (
    team       TEXT   NOT NULL REFERENCES teams (id),
    name       TEXT   NOT NULL,
    mark       BIGINT NOT NULL,
    removed_at BIGINT NOT NULL,
    PRIMARY KEY (team, name)
);
CREATE INDEX removed_credentials_by_mark ON removed_credentials (mark);

-- Of a creation that is remembered, the mark that the credential had then.
ALTER TABLE remembered_calls ADD COLUMN mark BIGINT NOT NULL DEFAULT 0;

-- Whether the change that made a revision has changed credentials of teams, of which the revision itself tells nothing.
ALTER TABLE revisions ADD COLUMN beyond BIGINT NOT NULL DEFAULT 0;

-- What credentials are of that came before the first revision.
INSERT INTO revisions (number, created_at, actor, summary) VALUES (0, 0, '', 'the beginning');
