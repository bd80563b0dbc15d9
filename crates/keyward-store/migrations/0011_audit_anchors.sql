-- Hashes of the audit log, each of the event `sequence`, under a data key that the master key protects: whoever has the
-- database alone makes none. The first of them is where the chain begins once the oldest events are forgotten.
CREATE TABLE audit_anchors (
    sequence   BIGINT PRIMARY KEY,
    hash       TEXT   NOT NULL,
    data_key   TEXT   NOT NULL,
    mac        TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX audit_events_by_time ON audit_events (happened_at);
