-- SPDX-License-Identifier: MIT
-- What MongooseIM 4.2.0 keeps, as far as its later migrations touch it. Roster tables are utf8mb4, as shipped.
CREATE TABLE users (username varchar(250) PRIMARY KEY, password text NOT NULL) CHARACTER SET utf8mb4;
CREATE TABLE last (username varchar(250) PRIMARY KEY, seconds integer NOT NULL, state text NOT NULL) CHARACTER SET utf8mb4;
CREATE INDEX i_last_seconds ON last (seconds);
CREATE TABLE rosterusers (username varchar(250) NOT NULL, jid varchar(250) NOT NULL, nick text NOT NULL DEFAULT '',
	server varchar(250) NOT NULL DEFAULT '', subscribe text NOT NULL DEFAULT '', `type` text) CHARACTER SET utf8mb4 ROW_FORMAT=DYNAMIC;
CREATE UNIQUE INDEX i_rosteru_user_jid ON rosterusers (username, jid);
CREATE INDEX i_rosteru_username ON rosterusers (username);
CREATE INDEX i_rosteru_jid ON rosterusers (jid);
CREATE TABLE rostergroups (username varchar(250) NOT NULL, jid varchar(250) NOT NULL, grp text NOT NULL) CHARACTER SET utf8mb4 ROW_FORMAT=DYNAMIC;
CREATE INDEX pk_rosterg_user_jid ON rostergroups (username, jid);
CREATE TABLE inbox (luser varchar(250) NOT NULL, lserver varchar(250) NOT NULL, remote_bare_jid varchar(250) NOT NULL,
	archive boolean DEFAULT false, timestamp bigint NOT NULL DEFAULT 0, PRIMARY KEY (lserver, luser, remote_bare_jid)) CHARACTER SET utf8mb4;
CREATE TABLE mam_message (id bigint NOT NULL, user_id integer NOT NULL, message text NOT NULL, PRIMARY KEY (user_id, id)) CHARACTER SET utf8mb4;
