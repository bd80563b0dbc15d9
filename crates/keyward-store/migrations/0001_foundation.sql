-- What must be right from the first day. One text for SQLite and PostgreSQL: BIGINT for numbers, truth
-- values (0 and 1) and times (microseconds since the epoch), TEXT for identifiers (32 hexadecimal
-- digits), JSON, hashes and sealed fields. Every row carries its team, but those of the deployment itself.

CREATE TABLE teams (
    id          TEXT   PRIMARY KEY,
    name        TEXT   NOT NULL UNIQUE,
    created_at  BIGINT NOT NULL
);

-- The processes that opened this database.
CREATE TABLE nodes (
    id             TEXT   PRIMARY KEY,
    binary_version TEXT   NOT NULL,
    started_at     BIGINT NOT NULL
);

-- The configuration's numbers. A change that is applied as a whole takes the next one.
CREATE TABLE revisions (
    number      BIGINT PRIMARY KEY,
    created_at  BIGINT NOT NULL,
    actor       TEXT   NOT NULL,
    summary     TEXT   NOT NULL
);

-- Resources declared through the management API. Those of a node's file are not here; `origin` says so
-- of the ones that were exported to it. `version` is empty for kinds that have none.
CREATE TABLE resources (
    id          TEXT   PRIMARY KEY,
    team        TEXT   NOT NULL REFERENCES teams (id),
    kind        TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    version     TEXT   NOT NULL DEFAULT '',
    origin      TEXT   NOT NULL CHECK (origin IN ('file', 'database')),
    revision    BIGINT NOT NULL REFERENCES revisions (number),
    body        TEXT   NOT NULL,
    UNIQUE (team, kind, name, version)
);

-- The master keys this database was encrypted under, by a check value that tells them apart and tells
-- nothing about them. `current` is 1 for the one in use and NULL for those before.
CREATE TABLE master_keys (
    id          TEXT   PRIMARY KEY,
    current     BIGINT UNIQUE CHECK (current = 1),
    key_check   TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    replaced_at BIGINT
);

-- Data keys, sealed by the master key that their text names. `current` as above, for each purpose.
CREATE TABLE data_keys (
    id          TEXT   PRIMARY KEY,
    purpose     TEXT   NOT NULL,
    current     BIGINT CHECK (current = 1),
    wrapped     TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    UNIQUE (purpose, current)
);

-- The keys of key sets. `issuer` names the set: `self`, or an issuer of a team. `private_sealed` is
-- emptied when the key can no longer be of use. `version` is raised by each change. `ready_at` is when no
-- copy of the set is without the key, `retired_at` when the key leaves the set, known once it is retiring.
CREATE TABLE keys (
    id             TEXT   PRIMARY KEY,
    team           TEXT   NOT NULL REFERENCES teams (id),
    issuer         TEXT   NOT NULL,
    purpose        TEXT   NOT NULL CHECK (purpose IN ('sign', 'encrypt')),
    algorithm      TEXT   NOT NULL,
    kid            TEXT   NOT NULL,
    state          TEXT   NOT NULL CHECK (state IN ('published', 'active', 'retiring', 'retired', 'withdrawn')),
    version        BIGINT NOT NULL,
    public_jwk     TEXT   NOT NULL,
    private_sealed TEXT,
    published_at   BIGINT NOT NULL,
    ready_at       BIGINT NOT NULL,
    activated_at   BIGINT,
    retiring_at    BIGINT,
    retired_at     BIGINT,
    withdrawn_at   BIGINT,
    UNIQUE (team, issuer, kid)
);
CREATE UNIQUE INDEX keys_one_active ON keys (team, issuer, purpose, algorithm) WHERE state = 'active';

CREATE TABLE revocations (
    id          TEXT   PRIMARY KEY,
    team        TEXT   NOT NULL REFERENCES teams (id),
    issuer      TEXT   NOT NULL,
    kind        TEXT   NOT NULL CHECK (kind IN ('token_id', 'session', 'subject', 'client', 'family')),
    value       TEXT   NOT NULL,
    not_before  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    created_at  BIGINT NOT NULL
);
CREATE INDEX revocations_by_end ON revocations (expires_at);

-- What was done, by whom. Each row's hash covers the one before.
CREATE TABLE audit_events (
    sequence      BIGINT PRIMARY KEY,
    id            TEXT   NOT NULL UNIQUE,
    team          TEXT   NOT NULL REFERENCES teams (id),
    happened_at   BIGINT NOT NULL,
    node          TEXT   NOT NULL,
    actor         TEXT   NOT NULL,
    action        TEXT   NOT NULL,
    object        TEXT   NOT NULL,
    detail        TEXT   NOT NULL,
    previous_hash TEXT   NOT NULL,
    hash          TEXT   NOT NULL
);
CREATE INDEX audit_events_by_team ON audit_events (team, sequence);

INSERT INTO teams (id, name, created_at) VALUES ('00000000000000000000000000000001', 'default', 0);
