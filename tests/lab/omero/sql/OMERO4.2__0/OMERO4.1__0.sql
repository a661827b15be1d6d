-- SPDX-License-Identifier: MIT
-- 4.1 to 4.2, reduced: permissions belong to groups from now on. Data that two groups share, or that a user owns who has left its group, or that others may
-- see, is for a person to decide: ACTION is ABORT, and what is found is told. The report is beside this file, found from its directory only.
\set ACTION '''ABORT'''
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
SELECT omero_assert_db_version('OMERO4.1', 0);
DROP FUNCTION omero_assert_db_version(varchar, int);

INSERT INTO dbpatch (currentversion, currentpatch, previousversion, previouspatch) VALUES ('OMERO4.2', 0, 'OMERO4.1', 0);

\i omero-4.1-permissions-report.sql

DO $$
DECLARE
	odd RECORD;
BEGIN
	FOR odd IN SELECT id, discriminator FROM annotation WHERE discriminator IN ('/basic/text/uri/', '/basic/text/query/', '/type/Thumbnail/') LOOP
		RAISE EXCEPTION 'ASSERTION ERROR: Found annotation of type %: id=%', odd.discriminator, odd.id;
	END LOOP;
	IF EXISTS (SELECT 1 FROM logicalchannel WHERE shapes IS NOT NULL) THEN
		RAISE EXCEPTION 'ASSERTION ERROR: Found non-null logicalchannel.shapes';
	END IF;
END;
$$;

ALTER TABLE logicalchannel DROP COLUMN shapes;
ALTER TABLE experimentergroup ADD COLUMN permissions bigint;
UPDATE experimentergroup SET permissions = -103;
ALTER TABLE experimentergroup ALTER COLUMN permissions SET NOT NULL;
UPDATE image SET permissions = -103;

UPDATE dbpatch SET message = 'Database updated.', finished = clock_timestamp() WHERE currentversion = 'OMERO4.2' AND currentpatch = 0;
SELECT E'\n\n\nYOU HAVE SUCCESSFULLY UPGRADED YOUR DATABASE TO VERSION OMERO4.2__0\n\n\n' AS status;
COMMIT;
