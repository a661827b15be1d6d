-- SPDX-License-Identifier: MIT
-- Tokens to log in faster with.
CREATE TABLE fast_auth_token (
	server varchar(250) NOT NULL,
	username varchar(250) NOT NULL,
	user_agent_id varchar(250) NOT NULL,
	current_token varchar(250),
	PRIMARY KEY (server, username, user_agent_id)
);
