-- Which paths a team publishes below: at a host, written as APIs write theirs, or at every host, which is the empty
-- text. A path is one team's alone, with all below it; whoever writes here looks after that.
CREATE TABLE team_paths (
    host       TEXT   NOT NULL,
    path       TEXT   NOT NULL,
    team       TEXT   NOT NULL REFERENCES teams (id),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (host, path)
);
CREATE INDEX team_paths_by_team ON team_paths (team);

-- Whether an operator made the token: only then may it do what only operators may, whatever its member becomes later.
-- Those of earlier versions count as made by an operator where whoever made them is one.
ALTER TABLE machine_tokens ADD COLUMN by_operator BIGINT NOT NULL DEFAULT 0;
UPDATE machine_tokens SET by_operator = 1 WHERE created_by IN
    (SELECT member FROM members WHERE team = '00000000000000000000000000000001' AND role = 'operator');

-- Who made a revision, beyond a name that each team gives as it likes: the team they are of, and their token.
ALTER TABLE revisions ADD COLUMN actor_team TEXT NOT NULL DEFAULT '';
ALTER TABLE revisions ADD COLUMN token TEXT NOT NULL DEFAULT '';
