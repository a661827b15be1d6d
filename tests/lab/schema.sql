-- SPDX-License-Identifier: MIT
-- The configdb of OX App Suite 7.10.x, as far as a rolling upgrade can see it. data.py fills it.
CREATE DATABASE IF NOT EXISTS configdb CHARACTER SET utf8mb4;
USE configdb;

CREATE TABLE configdb_sequence (id INT UNSIGNED NOT NULL, PRIMARY KEY (id)) ENGINE=InnoDB;

CREATE TABLE server (
	server_id INT UNSIGNED NOT NULL,
	name VARCHAR(255) NOT NULL,
	PRIMARY KEY (server_id), UNIQUE KEY server_name (name)
) ENGINE=InnoDB;

CREATE TABLE reason_text (
	id INT UNSIGNED NOT NULL,
	text VARCHAR(255) NOT NULL,
	PRIMARY KEY (id)
) ENGINE=InnoDB;

-- enabled may be NULL in the wild; reason_id is the only memory of who switched a tenant off. No flag per schema exists.
CREATE TABLE context (
	cid INT UNSIGNED NOT NULL,
	name VARCHAR(128) NOT NULL,
	enabled BOOLEAN,
	reason_id INT UNSIGNED,
	filestore_id INT UNSIGNED,
	filestore_name VARCHAR(32),
	filestore_login VARCHAR(32),
	filestore_passwd VARCHAR(32),
	quota_max BIGINT,
	PRIMARY KEY (cid), UNIQUE KEY context_name (name)
) ENGINE=InnoDB;

CREATE TABLE db_pool (
	db_pool_id INT UNSIGNED NOT NULL,
	url VARCHAR(255) NOT NULL,
	driver VARCHAR(128) NOT NULL,
	login VARCHAR(128) NOT NULL,
	password VARCHAR(128) NOT NULL,
	hardlimit INT UNSIGNED,
	max INT UNSIGNED,
	initial INT UNSIGNED,
	name VARCHAR(128) NOT NULL,
	PRIMARY KEY (db_pool_id)
) ENGINE=InnoDB;

CREATE TABLE db_cluster (
	cluster_id INT UNSIGNED NOT NULL,
	read_db_pool_id INT UNSIGNED NOT NULL,
	write_db_pool_id INT UNSIGNED NOT NULL,
	weight INT UNSIGNED,
	max_units INT,
	PRIMARY KEY (cluster_id),
	FOREIGN KEY (write_db_pool_id) REFERENCES db_pool (db_pool_id)
) ENGINE=InnoDB;

CREATE TABLE context_server2db_pool (
	server_id INT UNSIGNED NOT NULL,
	cid INT UNSIGNED NOT NULL,
	read_db_pool_id INT UNSIGNED NOT NULL,
	write_db_pool_id INT UNSIGNED NOT NULL,
	db_schema VARCHAR(32) NOT NULL,
	PRIMARY KEY (cid, server_id),
	KEY (server_id), KEY (db_schema), KEY (write_db_pool_id, db_schema),
	FOREIGN KEY (cid) REFERENCES context (cid) ON DELETE CASCADE
) ENGINE=InnoDB;

CREATE TABLE login2context (
	cid INT UNSIGNED NOT NULL,
	login_info VARCHAR(255) NOT NULL,
	PRIMARY KEY (login_info), KEY (cid),
	FOREIGN KEY (cid) REFERENCES context (cid) ON DELETE CASCADE
) ENGINE=InnoDB;

CREATE TABLE contexts_per_dbpool (
	db_pool_id INT UNSIGNED NOT NULL,
	count INT UNSIGNED NOT NULL,
	PRIMARY KEY (db_pool_id)
) ENGINE=InnoDB;

CREATE TABLE contexts_per_dbschema (
	db_pool_id INT UNSIGNED NOT NULL,
	schemaname VARCHAR(32) NOT NULL,
	count INT UNSIGNED NOT NULL,
	creating_date BIGINT NOT NULL,
	PRIMARY KEY (db_pool_id, schemaname)
) ENGINE=InnoDB;

CREATE TABLE dbpool_lock (db_pool_id INT UNSIGNED NOT NULL, PRIMARY KEY (db_pool_id)) ENGINE=InnoDB;

CREATE TABLE dbschema_lock (
	db_pool_id INT UNSIGNED NOT NULL,
	schemaname VARCHAR(32) NOT NULL,
	PRIMARY KEY (db_pool_id, schemaname)
) ENGINE=InnoDB;

CREATE TABLE replicationMonitor (
	cid INT UNSIGNED NOT NULL,
	transaction BIGINT NOT NULL,
	PRIMARY KEY (cid)
) ENGINE=InnoDB;

CREATE TABLE DATABASECHANGELOG (
	ID VARCHAR(255) NOT NULL,
	AUTHOR VARCHAR(255) NOT NULL,
	FILENAME VARCHAR(255) NOT NULL,
	DATEEXECUTED DATETIME NOT NULL,
	ORDEREXECUTED INT NOT NULL,
	EXECTYPE VARCHAR(10) NOT NULL
) ENGINE=InnoDB;

CREATE TABLE DATABASECHANGELOGLOCK (
	ID INT NOT NULL,
	LOCKED BIT(1) NOT NULL,
	LOCKGRANTED DATETIME,
	LOCKEDBY VARCHAR(255),
	PRIMARY KEY (ID)
) ENGINE=InnoDB;
INSERT INTO DATABASECHANGELOGLOCK VALUES (1, b'0', NULL, NULL);
