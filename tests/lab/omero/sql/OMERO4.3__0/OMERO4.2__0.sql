-- SPDX-License-Identifier: MIT
-- 4.2 to 4.3, reduced: what is measured is more than nothing. Where it is not, see omero-4.2-data-fix.sql.
BEGIN;

CREATE OR REPLACE FUNCTION omero_assert_db_version(version varchar, patch int) RETURNS void AS $$
DECLARE
	last RECORD;
BEGIN
	SELECT INTO last * FROM dbpatch ORDER BY id DESC LIMIT 1;
	IF last.currentversion <> version OR last.currentpatch <> patch OR last.finished IS NULL THEN
		RAISE EXCEPTION 'wrong OMERO database version for this upgrade script';
	END IF;
END;
$$ LANGUAGE plpgsql;
SELECT omero_assert_db_version('OMERO4.2', 0);
DROP FUNCTION omero_assert_db_version(varchar, int);

INSERT INTO dbpatch (currentversion, currentpatch, previousversion, previouspatch) VALUES ('OMERO4.3', 0, 'OMERO4.2', 0);

ALTER TABLE pixels ADD CONSTRAINT pixels_check CHECK (sizex > 0 AND sizey > 0 AND sizez > 0 AND sizec > 0 AND sizet > 0);
ALTER TABLE logicalchannel ADD CONSTRAINT logicalchannel_check CHECK (excitationwave > 0 AND emissionwave > 0 AND samplesperpixel > 0);
ALTER TABLE imagingenvironment ADD CONSTRAINT imagingenvironment_check CHECK (humidity >= 0 AND humidity <= 1 AND co2percent >= 0 AND co2percent <= 1);
ALTER TABLE objectivesettings ADD CONSTRAINT objectivesettings_check CHECK (refractiveindex > 0);
ALTER TABLE image ADD COLUMN instrument bigint;
UPDATE pixels SET bytes = bytes + 0;

UPDATE dbpatch SET message = 'Database updated.', finished = clock_timestamp() WHERE currentversion = 'OMERO4.3' AND currentpatch = 0;
SELECT E'\n\n\nYOU HAVE SUCCESSFULLY UPGRADED YOUR DATABASE TO VERSION OMERO4.3__0\n\n\n' AS status;
COMMIT;
