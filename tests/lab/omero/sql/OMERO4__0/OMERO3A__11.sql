-- SPDX-License-Identifier: MIT
-- 3.2 to 4.0, reduced: images may be archived.
BEGIN;

CREATE OR REPLACE FUNCTION omero_assert_db_version(version varchar, patch int) RETURNS void AS $$
DECLARE
	last RECORD;
BEGIN
	SELECT INTO last * FROM dbpatch ORDER BY id DESC LIMIT 1;
	IF last.currentversion <> version OR last.currentpatch <> patch OR last.finished IS NULL THEN
		RAISE EXCEPTION 'ASSERTION ERROR: Wrong database version';
	END IF;
END;
$$ LANGUAGE plpgsql;
SELECT omero_assert_db_version('OMERO3A', 11);
DROP FUNCTION omero_assert_db_version(varchar, int);

INSERT INTO dbpatch (currentversion, currentpatch, previousversion, previouspatch) VALUES ('OMERO4', 0, 'OMERO3A', 11);

DO $$
BEGIN
	IF EXISTS (SELECT 1 FROM category) THEN
		RAISE EXCEPTION 'Table is not empty: category';
	END IF;
END;
$$;
DROP TABLE category;

ALTER TABLE image ADD COLUMN archived boolean;
UPDATE image SET archived = false;
ALTER TABLE image ALTER COLUMN archived SET NOT NULL;

UPDATE dbpatch SET message = 'Database updated.', finished = clock_timestamp() WHERE currentversion = 'OMERO4' AND currentpatch = 0;
SELECT E'\n\n\nYOU HAVE SUCCESSFULLY UPGRADED YOUR DATABASE TO VERSION OMERO4__0\n\n\n' AS status;
COMMIT;
