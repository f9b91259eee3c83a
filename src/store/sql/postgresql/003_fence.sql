-- The fence is a statement of the writer's own now (src/store/postgres_batch.c): a function in PL/pgSQL, and a check that is read
-- from the catalogue anew for each row, were a fifth of a small commit.
DROP FUNCTION homeostat_batch(text, bigint);
ALTER TABLE homeostat_session DROP CONSTRAINT homeostat_session_id_check;
