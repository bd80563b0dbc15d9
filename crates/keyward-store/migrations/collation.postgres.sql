-- Text is compared byte by byte, as SQLite does, whatever the language of the database: lists and their cursors have the
-- same order on both, and no index depends on a library's idea of an alphabet. Done after each run of migrations, for the
-- columns that they have made.
DO $$
DECLARE
    found RECORD;
BEGIN
    FOR found IN
        SELECT c.relname, a.attname
        FROM pg_catalog.pg_attribute a
        JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_catalog.pg_collation o ON o.oid = a.attcollation
        WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND a.attnum > 0 AND NOT a.attisdropped AND o.collname <> 'C'
          AND a.atttypid = 'pg_catalog.text'::regtype
    LOOP
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I TYPE text COLLATE "C"', found.relname, found.attname);
    END LOOP;
END
$$;
