-- SPDX-License-Identifier: MIT
-- Publish-subscribe nodes and broadcasts.
CREATE TABLE pubsub_node (
	service_domain varchar(125) NOT NULL,
	service_user varchar(125) NOT NULL,
	node_id varchar(125) NOT NULL,
	max_items bigint,
	PRIMARY KEY (service_domain, service_user, node_id)
);
CREATE TABLE broadcast_jobs (id int PRIMARY KEY, name varchar(250) NOT NULL, server varchar(250) NOT NULL);
CREATE TABLE broadcast_worker_state (
	broadcast_id int NOT NULL REFERENCES broadcast_jobs (id) ON DELETE CASCADE,
	finished boolean NOT NULL DEFAULT false,
	PRIMARY KEY (broadcast_id)
);
