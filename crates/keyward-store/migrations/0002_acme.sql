-- Certificates that are obtained and renewed by themselves (RFC 8555). They belong to the deployment: it is
-- its listeners that show them.

-- The accounts at certificate authorities, by the address of their directory.
CREATE TABLE acme_accounts (
    id          TEXT   PRIMARY KEY,
    directory   TEXT   NOT NULL UNIQUE,
    sealed      TEXT   NOT NULL,
    created_at  BIGINT NOT NULL
);

-- The certificates in use: `names` are their DNS names, sorted, with a space between; `chain` is PEM.
CREATE TABLE acme_certificates (
    id          TEXT   PRIMARY KEY,
    directory   TEXT   NOT NULL,
    names       TEXT   NOT NULL,
    chain       TEXT   NOT NULL,
    key_sealed  TEXT   NOT NULL,
    obtained_at BIGINT NOT NULL,
    UNIQUE (directory, names)
);
