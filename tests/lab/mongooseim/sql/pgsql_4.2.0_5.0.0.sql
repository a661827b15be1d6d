-- SPDX-License-Identifier: MIT
-- Every table learns which domain its rows belong to.
ALTER TABLE last ADD COLUMN server varchar(250);
-- FIXME Replace localhost with your domain name
UPDATE last SET server = 'localhost';
ALTER TABLE last ALTER COLUMN server SET NOT NULL;
ALTER TABLE last DROP CONSTRAINT last_pkey, ADD PRIMARY KEY (server, username);
CREATE INDEX i_last_server_seconds ON last (server, seconds);
DROP INDEX i_last_seconds;

ALTER TABLE rosterusers DROP COLUMN "type", DROP COLUMN subscribe, DROP COLUMN server;
ALTER TABLE rosterusers ADD COLUMN server varchar(250);
-- FIXME Replace localhost with your domain name
UPDATE rosterusers SET server = 'localhost';
ALTER TABLE rosterusers ALTER COLUMN server SET NOT NULL;
CREATE UNIQUE INDEX i_rosteru_server_user_jid ON rosterusers (server, username, jid);
CREATE INDEX i_rosteru_server_user ON rosterusers (server, username);
DROP INDEX i_rosteru_user_jid;
DROP INDEX i_rosteru_username;

ALTER TABLE rostergroups ADD COLUMN server varchar(250);
-- FIXME Replace localhost with your domain name
UPDATE rostergroups SET server = 'localhost';
ALTER TABLE rostergroups ALTER COLUMN server SET NOT NULL;
CREATE INDEX i_rosterg_server_user_jid ON rostergroups (server, username, jid);
DROP INDEX pk_rosterg_user_jid;

ALTER TABLE users ADD COLUMN server varchar(250);
-- FIXME Replace localhost with your domain name
UPDATE users SET server = 'localhost';
ALTER TABLE users ALTER COLUMN server SET NOT NULL;
ALTER TABLE users DROP CONSTRAINT users_pkey, ADD PRIMARY KEY (server, username);

CREATE TABLE domain_settings (id bigserial UNIQUE, domain varchar(250) PRIMARY KEY, host_type varchar(250) NOT NULL, enabled boolean NOT NULL DEFAULT true);
CREATE TABLE domain_events (id bigserial PRIMARY KEY, domain varchar(250) NOT NULL);
CREATE INDEX i_domain_events_domain ON domain_events (domain);
