-- An entry of an index has 2,704 bytes at most, and the names of a certificate have more: they are told apart by a hash.
ALTER TABLE acme_certificates DROP CONSTRAINT IF EXISTS acme_certificates_directory_names_key;
CREATE UNIQUE INDEX acme_certificates_by_names
    ON acme_certificates (directory, sha256(replace(names, '\', '\\')::bytea));

-- Notices go to everybody in the database, and several deployments may share one: a notice says which schema it is of.
CREATE OR REPLACE FUNCTION keyward_tell_of_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('keyward_changes', TG_TABLE_SCHEMA);
    RETURN NULL;
END
$$;
