-- SPDX-License-Identifier: MIT
-- Where the nodes of a cluster find each other.
CREATE TABLE discovery_nodes (
	cluster_name varchar(250) NOT NULL,
	node_name varchar(250) NOT NULL,
	node_num int NOT NULL,
	address varchar(250) NOT NULL DEFAULT '',
	updated_timestamp bigint NOT NULL,
	PRIMARY KEY (cluster_name, node_name)
);
CREATE UNIQUE INDEX i_discovery_nodes_node_num ON discovery_nodes (cluster_name, node_num);
