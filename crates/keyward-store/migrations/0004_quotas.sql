-- What has passed under quotas in windows that are not over, so that a restart does not forgive it. Who is
-- counted stands there as a hash under the secret, which belongs to this database.
CREATE TABLE quota_secret (
    id      BIGINT PRIMARY KEY,
    secret  TEXT   NOT NULL
);

CREATE TABLE quota_counts (
    digest        TEXT   NOT NULL,
    window_number BIGINT NOT NULL,
    period        TEXT   NOT NULL,
    requests      BIGINT NOT NULL,
    ends_at       BIGINT NOT NULL,
    PRIMARY KEY (digest, window_number)
);

CREATE INDEX quota_counts_by_end ON quota_counts (ends_at);
