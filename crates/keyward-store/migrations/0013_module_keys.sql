-- A private part that is in a module outside of the database (a PKCS#11 token): the reference it is known by there. Such a
-- key has no `private_sealed`. The reference is taken away once the module has destroyed the key.
ALTER TABLE keys ADD COLUMN module_key TEXT;

-- Keys that are being made in a module, by their references: each is written down before it is made, and taken out in the
-- transaction that writes its row in `keys`. What stands here for long came to nothing, and is destroyed.
CREATE TABLE module_keys_to_come (
    reference    TEXT   PRIMARY KEY,
    announced_at BIGINT NOT NULL
);
