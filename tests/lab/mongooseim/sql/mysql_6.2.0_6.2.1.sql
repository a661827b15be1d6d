-- SPDX-License-Identifier: MIT
-- Keys for the roster, a mark for messages of groups, capabilities, one cluster for each node.
-- Where the tables are utf8mb4, which is how they are shipped, the key of rostergroups is longer than InnoDB takes: it ends there.
DROP INDEX i_rosteru_server_user_jid ON rosterusers;
DROP INDEX i_rosteru_server_user ON rosterusers;
DROP INDEX i_rosteru_jid ON rosterusers;
ALTER TABLE rosterusers ADD PRIMARY KEY(server, username, jid);

DROP INDEX i_rosterg_server_user_jid ON rostergroups;
ALTER TABLE rostergroups MODIFY COLUMN grp VARCHAR(255), ADD PRIMARY KEY(server, username, jid, grp);

ALTER TABLE mam_message ADD COLUMN is_groupchat boolean NOT NULL DEFAULT false;

CREATE TABLE caps (node varchar(250) NOT NULL, sub_node varchar(250) NOT NULL, features text NOT NULL, PRIMARY KEY (node, sub_node));

ALTER TABLE discovery_nodes DROP PRIMARY KEY, ADD PRIMARY KEY (node_name);
