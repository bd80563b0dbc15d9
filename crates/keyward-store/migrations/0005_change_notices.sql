-- More kinds of rows whose changes nodes ask about: `credentials` counts rows that came or were changed,
-- `credentials_removed` those that were taken back, `keys` every change of a key of a key set.
INSERT INTO change_counters (subject, counter) VALUES ('credentials', 0) ON CONFLICT DO NOTHING;
INSERT INTO change_counters (subject, counter) VALUES ('credentials_removed', 0) ON CONFLICT DO NOTHING;
INSERT INTO change_counters (subject, counter) VALUES ('keys', 0) ON CONFLICT DO NOTHING;
