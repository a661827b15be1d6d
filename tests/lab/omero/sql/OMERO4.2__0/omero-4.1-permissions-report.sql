-- SPDX-License-Identifier: MIT
-- What of the data the permissions of 4.2 do not allow. Read by the upgrade script, and for a look before: then in a transaction that is rolled back.
CREATE OR REPLACE FUNCTION omero_41_check(action text) RETURNS text AS $$
DECLARE
	odd RECORD;
	txt text := '';
BEGIN
	FOR odd IN SELECT d.id AS d, l.id AS l, i.id AS i FROM datasetimagelink l JOIN dataset d ON d.id = l.parent JOIN image i ON i.id = l.child
			WHERE d.group_id <> i.group_id ORDER BY l.id LOOP
		txt := txt || E'\nDifferent groups: Dataset(id=' || odd.d || ') <--> DatasetImageLink.child(id=' || odd.l || ')';
	END LOOP;
	FOR odd IN SELECT i.id AS i, i.owner_id AS o, i.group_id AS g FROM image i
			WHERE NOT EXISTS (SELECT 1 FROM groupexperimentermap m WHERE m.parent = i.group_id AND m.child = i.owner_id) ORDER BY i.id LOOP
		txt := txt || E'\nUser removed from group: Image(id=' || odd.i || ') owner=' || odd.o || ' group=' || odd.g;
	END LOOP;
	FOR odd IN SELECT id, permissions FROM image WHERE permissions <> -103 ORDER BY id LOOP
		txt := txt || E'\nNon-private permissions: Image(id=' || odd.id || ') ' || odd.permissions;
	END LOOP;
	IF txt <> '' AND action = 'ABORT' THEN
		RAISE EXCEPTION E'ERROR ON omero_41_check:%\n', txt;
	END IF;
	RETURN 'omero_41_check: ok';
END;
$$ LANGUAGE plpgsql;
