-- Whoever listens is told when a change is committed, whatever wrote it: a statement of a version that knows
-- nothing of this, too.
CREATE OR REPLACE FUNCTION keyward_tell_of_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('keyward_changes', '');
    RETURN NULL;
END
$$;
CREATE TRIGGER keyward_tell_of_change AFTER INSERT ON revisions
    FOR EACH STATEMENT EXECUTE FUNCTION keyward_tell_of_change();
CREATE TRIGGER keyward_tell_of_change AFTER UPDATE ON change_counters
    FOR EACH STATEMENT EXECUTE FUNCTION keyward_tell_of_change();
