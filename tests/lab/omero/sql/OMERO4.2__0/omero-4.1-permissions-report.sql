-- SPDX-License-Identifier: MIT
-- What of the data the permissions of 4.2 do not allow. Of the shape that OMERO's has: ACTION is a quoted text that its reader sets, what is found is told in
-- an error, the functions are gone at its end, and tables that 4.1 has are asked for.
\timing
create or replace function omero_41_check4(target text, tbl text, col text, ACTION text) returns setof text as $$
declare
	rec record;
begin
	for rec in execute 'select target.id as target_id, target.group_id as target_group, tbl.id as tbl_id, tbl.group_id as tbl_group from ' || target || ' target, '
			|| tbl || ' tbl where target.id = tbl.' || col || ' and target.group_id <> tbl.group_id order by tbl.id' loop
		return next 'Different groups: ' || target || '(id=' || rec.target_id || ', group=' || rec.target_group || ') <--> ' || tbl || '.' || col || '(id=' || rec.tbl_id
			|| ', group=' || rec.tbl_group || ')';
	end loop;
end;$$ language plpgsql;

create or replace function omero_41_check1(ACTION text) returns setof text as $$
declare
	sum text = '';
	msg text;
	rec record;
begin
	for rec in select * from omero_41_check4('Image', 'Roi', 'image', ACTION) as txt loop
		sum := sum || rec.txt || chr(10);
		return next rec.txt;
	end loop;
	for rec in select d.id as d, l.id as l from datasetimagelink l join dataset d on d.id = l.parent join image i on i.id = l.child where d.group_id <> i.group_id order by l.id loop
		sum := sum || 'Different groups: Dataset(id=' || rec.d || ') <--> DatasetImageLink.child(id=' || rec.l || ')' || chr(10);
	end loop;
	for rec in select i.id, i.group_id as g from image i
			where not exists (select 1 from groupexperimentermap m where m.parent = i.group_id and m.child = i.owner_id) order by i.id loop
		sum := sum || 'User removed from group: Image(id=' || rec.id || ', group=' || rec.g || ')' || chr(10);
	end loop;
	for rec in select id from image where permissions <> -103 order by id loop
		sum := sum || 'Non-private permissions:image(id=' || rec.id || ')' || chr(10);
	end loop;
	if ACTION = 'ABORT' and char_length(sum) > 0 then
		msg := chr(10) || sum || chr(10);
		msg := msg || 'ERROR ON omero_41_check:' || chr(10);
		msg := msg || 'Your database has data which is incompatible with 4.2 and will need to be manually updated' || chr(10);
		raise exception '%', msg;
	end if;
	return;
end;$$ language plpgsql;

select * from dbpatch;
select * from experimentergroup;
select * from groupexperimentermap;

select * from omero_41_check1(cast(:ACTION as text));

drop function omero_41_check1(text);
drop function omero_41_check4(text, text, text, text);
