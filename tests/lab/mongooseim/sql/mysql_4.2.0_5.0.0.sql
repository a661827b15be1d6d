-- SPDX-License-Identifier: MIT
-- Every table learns which domain its rows belong to.
ALTER TABLE last ADD server varchar(250) NOT NULL;
-- FIXME Replace localhost with your domain name
UPDATE last SET server = 'localhost';
ALTER TABLE last DROP PRIMARY KEY, ADD PRIMARY KEY (server, username);
CREATE INDEX i_last_server_seconds ON last (server, seconds);
DROP INDEX i_last_seconds ON last;

ALTER TABLE rosterusers DROP COLUMN `type`, DROP COLUMN subscribe, DROP COLUMN server;
ALTER TABLE rosterusers ADD server varchar(250) NOT NULL;
-- FIXME Replace localhost with your domain name
UPDATE rosterusers SET server = 'localhost';
CREATE UNIQUE INDEX i_rosteru_server_user_jid ON rosterusers (server, username, jid);
CREATE INDEX i_rosteru_server_user ON rosterusers (server, username);
DROP INDEX i_rosteru_user_jid ON rosterusers;
DROP INDEX i_rosteru_username ON rosterusers;

ALTER TABLE rostergroups ADD server varchar(250) NOT NULL;
-- FIXME Replace localhost with your domain name
UPDATE rostergroups SET server = 'localhost';
CREATE INDEX i_rosterg_server_user_jid ON rostergroups (server, username, jid);
DROP INDEX pk_rosterg_user_jid ON rostergroups;

ALTER TABLE users ADD server varchar(250) NOT NULL;
-- FIXME Replace localhost with your domain name
UPDATE users SET server = 'localhost';
ALTER TABLE users DROP PRIMARY KEY, ADD PRIMARY KEY (server, username);

CREATE TABLE domain_settings (id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, domain varchar(250) NOT NULL, host_type varchar(250) NOT NULL, enabled boolean NOT NULL DEFAULT true);
CREATE TABLE domain_events (id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, domain varchar(250) NOT NULL);
CREATE INDEX i_domain_events_domain ON domain_events (domain);
