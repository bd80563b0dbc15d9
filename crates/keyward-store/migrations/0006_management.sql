-- What the management API keeps beside resources: their history, who may manage, and what it remembers of calls.

-- Why a revision was made, and by which call.
ALTER TABLE revisions ADD COLUMN reason TEXT NOT NULL DEFAULT '';
ALTER TABLE revisions ADD COLUMN request_id TEXT NOT NULL DEFAULT '';

-- What each revision did to resources: no body before for one that came, none after for one that went. `resource` is
-- its row's id. Kept for good, so that what was can be read and put back.
CREATE TABLE resource_changes (
    revision    BIGINT NOT NULL REFERENCES revisions (number),
    team        TEXT   NOT NULL REFERENCES teams (id),
    kind        TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    version     TEXT   NOT NULL DEFAULT '',
    resource    TEXT   NOT NULL,
    body_before TEXT,
    body_after  TEXT,
    PRIMARY KEY (revision, team, kind, name, version)
);
CREATE INDEX resource_changes_by_team ON resource_changes (team, revision);

-- Secrets that resources refer to: a body holds the reference and never the secret. The same secret of the same team
-- has the same reference, so that it can be seen whether one has changed.
CREATE TABLE resource_secrets (
    team       TEXT   NOT NULL REFERENCES teams (id),
    reference  TEXT   NOT NULL,
    sealed     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (team, reference)
);

-- Who manages what: a role for each row. The role `operator` is of the deployment, and stands in the team `default`.
CREATE TABLE members (
    team       TEXT   NOT NULL REFERENCES teams (id),
    member     TEXT   NOT NULL,
    role       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (team, member, role)
);

-- Tokens of machines: each acts as a member of one team, within its scopes. The token itself is not here.
CREATE TABLE machine_tokens (
    id         TEXT   PRIMARY KEY,
    team       TEXT   NOT NULL REFERENCES teams (id),
    member     TEXT   NOT NULL,
    label      TEXT   NOT NULL,
    scopes     TEXT   NOT NULL,
    created_by TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX machine_tokens_by_team ON machine_tokens (team, id);

-- Setup secrets, as hashes. The newest that nobody has claimed and whose time is not over makes an administrator.
CREATE TABLE setup_secrets (
    id         TEXT   PRIMARY KEY,
    digest     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    claimed_at BIGINT
);

-- Creations that came with an Idempotency-Key, so that the same call again creates nothing. `digest` is of the key
-- with who sent it, `fingerprint` of what was asked for.
CREATE TABLE remembered_calls (
    digest      TEXT   PRIMARY KEY,
    fingerprint TEXT   NOT NULL,
    resource    TEXT   NOT NULL,
    revision    BIGINT NOT NULL,
    created_at  BIGINT NOT NULL
);
CREATE INDEX remembered_calls_by_time ON remembered_calls (created_at);
