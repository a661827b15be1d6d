-- SPDX-License-Identifier: MIT
-- 4.0 to 4.1, reduced: annotations have a name space, pixels a type that is known by its size.
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
SELECT omero_assert_db_version('OMERO4', 0);
DROP FUNCTION omero_assert_db_version(varchar, int);

INSERT INTO dbpatch (currentversion, currentpatch, previousversion, previouspatch) VALUES ('OMERO4.1', 0, 'OMERO4', 0);

ALTER TABLE annotation ADD COLUMN ns varchar(255);
UPDATE annotation SET ns = 'openmicroscopy.org/omero/old' WHERE ns IS NULL;
ALTER TABLE pixels ADD COLUMN bytes bigint;
CREATE TABLE roi (id bigint PRIMARY KEY, image bigint REFERENCES image, group_id bigint REFERENCES experimentergroup);
UPDATE pixels SET bytes = 2::bigint * sizex * sizey * greatest(sizez, 1);

UPDATE dbpatch SET message = 'Database updated.', finished = clock_timestamp() WHERE currentversion = 'OMERO4.1' AND currentpatch = 0;
SELECT E'\n\n\nYOU HAVE SUCCESSFULLY UPGRADED YOUR DATABASE TO VERSION OMERO4.1__0\n\n\n' AS status;
COMMIT;
