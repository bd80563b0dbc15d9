-- When a team was deleted. Its row stays, since the history and the audit log name it, under a name that is nobody's: a
-- binary of before sees a team that has nothing.
ALTER TABLE teams ADD COLUMN deleted_at BIGINT;
