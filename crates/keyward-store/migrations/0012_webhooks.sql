-- How far each webhook has been told: the last audit event of its team that it knows of, and what became of the next.
CREATE TABLE webhook_positions (
    team          TEXT   NOT NULL REFERENCES teams (id),
    webhook       TEXT   NOT NULL,
    sequence      BIGINT NOT NULL,
    attempts      BIGINT NOT NULL,
    failing_since BIGINT,
    next_at       BIGINT NOT NULL,
    problem       TEXT   NOT NULL,
    node          TEXT   NOT NULL,
    leased_until  BIGINT NOT NULL,
    PRIMARY KEY (team, webhook)
);
