# SPDX-License-Identifier: MIT
"""Databases of OMERO of our own writing: the reduced schema of 3.2, data in it, then the upgrade scripts up to a level, then what is wrong with the data."""

import pathlib

SQL = pathlib.Path(__file__).resolve().parent / "sql"
LEVELS = ["OMERO3A__11", "OMERO4__0", "OMERO4.1__0", "OMERO4.2__0", "OMERO4.3__0"]

BASE = """
CREATE TABLE dbpatch (id serial PRIMARY KEY, currentversion varchar(255) NOT NULL, currentpatch int NOT NULL, previousversion varchar(255), previouspatch int,
	message varchar(255), finished timestamp);
INSERT INTO dbpatch (currentversion, currentpatch, previousversion, previouspatch, message, finished) VALUES ('OMERO3A', 11, 'OMERO3A', 10, 'Database updated.', now());
CREATE TABLE experimentergroup (id bigint PRIMARY KEY, name text NOT NULL);
CREATE TABLE experimenter (id bigint PRIMARY KEY, omename text NOT NULL);
CREATE TABLE groupexperimentermap (id serial PRIMARY KEY, parent bigint REFERENCES experimentergroup, child bigint REFERENCES experimenter);
CREATE TABLE image (id bigint PRIMARY KEY, name text NOT NULL, owner_id bigint REFERENCES experimenter, group_id bigint REFERENCES experimentergroup, permissions bigint NOT NULL);
CREATE TABLE dataset (id bigint PRIMARY KEY, name text NOT NULL, owner_id bigint REFERENCES experimenter, group_id bigint REFERENCES experimentergroup);
CREATE TABLE datasetimagelink (id bigint PRIMARY KEY, parent bigint REFERENCES dataset, child bigint REFERENCES image);
CREATE TABLE pixels (id bigint PRIMARY KEY, image bigint REFERENCES image, sizex int, sizey int, sizez int, sizec int, sizet int);
CREATE TABLE logicalchannel (id bigint PRIMARY KEY, pixels bigint REFERENCES pixels, excitationwave int, emissionwave int, shapes bigint, samplesperpixel int);
CREATE TABLE imagingenvironment (id bigint PRIMARY KEY, humidity double precision, co2percent double precision);
CREATE TABLE category (id bigint PRIMARY KEY, name text);
CREATE TABLE objectivesettings (id bigint PRIMARY KEY, refractiveindex double precision);
CREATE TABLE annotation (id bigint PRIMARY KEY, discriminator varchar(31) NOT NULL, textvalue text);
INSERT INTO experimentergroup SELECT g, 'group ' || g FROM generate_series(1, 5) g;
INSERT INTO experimenter SELECT u, 'user' || u FROM generate_series(1, 20) u;
INSERT INTO groupexperimentermap (parent, child) SELECT 1 + u % 5, u FROM generate_series(1, 20) u;
INSERT INTO image SELECT i, 'image ' || i, 1 + i % 20, 1 + (1 + i % 20) % 5, -103 FROM generate_series(1, {images}) i;
INSERT INTO dataset SELECT d, 'dataset ' || d, d, 1 + d % 5 FROM generate_series(1, 20) d;
INSERT INTO datasetimagelink SELECT i, 1 + i % 20, i FROM generate_series(1, {images}) i;
INSERT INTO pixels SELECT i, i, 512, 512, 1 + i % 30, 3, 1 FROM generate_series(1, {images}) i;
INSERT INTO logicalchannel SELECT i, i, 400 + i % 200, 450 + i % 200 FROM generate_series(1, {images}) i;
INSERT INTO objectivesettings SELECT i, 1.33 FROM generate_series(1, 50) i;
INSERT INTO annotation SELECT i, '/basic/text/comment/', 'comment ' || i FROM generate_series(1, 50) i;
"""

# What is wrong: statements by the name of the trouble.
DIRTY = {
	"groups": "UPDATE dataset SET group_id = 5 WHERE id = 1",  # image 20, 40 … of user 1 are linked from it, in group 2
	"removed": "DELETE FROM groupexperimentermap WHERE child = 3",
	"shared": "UPDATE image SET permissions = -39 WHERE id IN (4, 5)",
	"uri": "INSERT INTO annotation (id, discriminator, textvalue) VALUES (1001, '/basic/text/uri/', 'http://example.org')",
	"sizez": "UPDATE pixels SET sizez = 0 WHERE id IN (7, 8)",
	"waves": "UPDATE logicalchannel SET excitationwave = 0 WHERE id = 9; UPDATE logicalchannel SET emissionwave = -1 WHERE id = 10",
	"index": "UPDATE objectivesettings SET refractiveindex = 0 WHERE id = 5",  # no script mends it
	"humidity": "INSERT INTO imagingenvironment VALUES (1, 40, 0)",
	"category": "INSERT INTO category VALUES (1, 'mitosis')",
	"unfinished": "UPDATE dbpatch SET finished = NULL WHERE id = (SELECT max(id) FROM dbpatch)",
	"unknown": "INSERT INTO dbpatch (currentversion, currentpatch, finished) VALUES ('OMERO4.1DEV', 7, now())",
}


def create(pg, database, level, images=400, dirty=()):
	"""By an account that is no superuser, in a database that differs from what is made without a word."""
	pg.sql("CREATE ROLE omero LOGIN CREATEDB; CREATE ROLE reader LOGIN")
	pg.sql("SET allow_in_place_tablespaces = on; CREATE TABLESPACE large LOCATION ''; GRANT CREATE ON TABLESPACE large TO omero")
	pg.sql(f"""CREATE DATABASE "{database}" OWNER omero TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' TABLESPACE large""")
	pg.sql(f"""ALTER DATABASE "{database}" SET work_mem TO '5MB'; ALTER DATABASE "{database}" SET search_path TO "$user", public;
		REVOKE ALL ON DATABASE "{database}" FROM PUBLIC; GRANT CONNECT ON DATABASE "{database}" TO reader""")
	pg.sql("SET SESSION AUTHORIZATION omero;" + BASE.replace("{images}", str(images)), database)
	for before, after in zip(LEVELS, LEVELS[1:LEVELS.index(level) + 1]):
		script = SQL / after / f"{before}.sql"
		pg.lab.procs.run(["sh", "-c", 'cd "$0" && exec "$@"', script.parent, pg.bin / "psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", script.name], env={**pg.env, "PGUSER": "omero"})
	for name in dirty:
		pg.sql(DIRTY[name], database)
