# SPDX-License-Identifier: MIT
"""
A database as Cells v3 leaves it, of our own writing: fourteen tables that the collation gate looks at, six foreign keys, names that are told apart by
case (_bin), bookkeeping tables. States: healthy · latin1 (the tables, one of them in an old row format; the database is utf8mb4) · database (its
default is latin1, the tables are not) · keyless (latin1, and somebody has dropped all foreign keys) · jwk (hydra_jwk alone is latin1, the others utf8mb4_unicode_ci).
"""

STATES = ("healthy", "latin1", "database", "keyless", "jwk")

# {c}: the character set, {ci}: its collation. A column that is _bin in a table that is not, and a table that is.
TABLES = """
CREATE TABLE idm_user_idx_tree (uuid VARCHAR(128) NOT NULL PRIMARY KEY, name VARCHAR(255) COLLATE {c}_bin NOT NULL DEFAULT 'it''s', level SMALLINT NOT NULL,
	KEY name_idx (name)) CHARSET {c} COLLATE {ci};
CREATE TABLE idm_user_attributes (uuid VARCHAR(128) NOT NULL, name VARCHAR(255) NOT NULL, value TEXT, PRIMARY KEY (uuid, name),
	CONSTRAINT idm_user_attributes_ibfk_1 FOREIGN KEY (uuid) REFERENCES idm_user_idx_tree (uuid) ON DELETE CASCADE) CHARSET {c} COLLATE {ci};
CREATE TABLE idm_user_roles (uuid VARCHAR(128) NOT NULL, role VARCHAR(255) NOT NULL, weight INT, PRIMARY KEY (uuid, role),
	CONSTRAINT idm_user_roles_ibfk_1 FOREIGN KEY (uuid) REFERENCES idm_user_idx_tree (uuid) ON DELETE CASCADE ON UPDATE CASCADE) CHARSET {c} COLLATE {ci};
CREATE TABLE idm_acl_nodes (id BIGINT PRIMARY KEY, uuid VARCHAR(500) NOT NULL) CHARSET {c} COLLATE {ci};
CREATE TABLE idm_acl_workspaces (id BIGINT, name VARCHAR(128) NOT NULL, PRIMARY KEY (id, name)) CHARSET {c} COLLATE {ci};
CREATE TABLE idm_acl_roles (name VARCHAR(128) PRIMARY KEY) CHARSET {c} COLLATE {ci};
CREATE TABLE idm_acls (id BIGINT PRIMARY KEY, node_id BIGINT, workspace_id BIGINT, workspace VARCHAR(128), role VARCHAR(128), action_name VARCHAR(500),
	CONSTRAINT idm_acls_f1 FOREIGN KEY (node_id) REFERENCES idm_acl_nodes (id),
	CONSTRAINT idm_acls_f2 FOREIGN KEY (workspace_id, workspace) REFERENCES idm_acl_workspaces (id, name) ON DELETE SET NULL,
	CONSTRAINT idm_acls_f3 FOREIGN KEY (role) REFERENCES idm_acl_roles (name)) CHARSET {c} COLLATE {ci};
CREATE TABLE idm_policy_group (uuid VARCHAR(128) PRIMARY KEY, name VARCHAR(500)) CHARSET {c} COLLATE {ci};
CREATE TABLE idm_policy (id VARCHAR(128) PRIMARY KEY, description TEXT, effect VARCHAR(16)) CHARSET {c} COLLATE {ci};
CREATE TABLE idm_policy_rel (group_uuid VARCHAR(128) NOT NULL, policy_id VARCHAR(128) NOT NULL, PRIMARY KEY (group_uuid, policy_id),
	CONSTRAINT idm_policy_rel_ibfk_2 FOREIGN KEY (policy_id) REFERENCES idm_policy (id) ON DELETE CASCADE) CHARSET {c} COLLATE {ci};
CREATE TABLE data_pydiods1_nodes (uuid VARCHAR(128) PRIMARY KEY, name VARCHAR(255) NOT NULL, parent VARCHAR(128) NOT NULL, UNIQUE KEY names (parent, name))
	CHARSET {c} COLLATE {c}_bin;
CREATE TABLE data_personal_nodes (uuid VARCHAR(128) PRIMARY KEY, name VARCHAR(255) NOT NULL, parent VARCHAR(128) NOT NULL, UNIQUE KEY names (parent, name))
	CHARSET {c} COLLATE {c}_bin{rows};
CREATE TABLE hydra_client (id VARCHAR(255) PRIMARY KEY, client_name TEXT, secret TEXT) CHARSET {c} COLLATE {ci};
CREATE TABLE hydra_jwk (pk INT AUTO_INCREMENT PRIMARY KEY, sid VARCHAR(255) NOT NULL, kid VARCHAR(255) NOT NULL, keydata TEXT) CHARSET {jwk} COLLATE {jwk}_general_ci;
CREATE TABLE enc_node_keys (node_id VARCHAR(255) PRIMARY KEY) CHARSET ascii COLLATE ascii_general_ci;
CREATE TABLE gorp_migrations (id VARCHAR(255) PRIMARY KEY, applied_at DATETIME) CHARSET latin1;
CREATE TABLE hydra_jwk_migration (id VARCHAR(255) PRIMARY KEY, applied_at DATETIME) CHARSET latin1;
"""

# Rows: some with letters that are not ASCII, and names that differ by case alone.
ROWS = """
INSERT INTO idm_user_idx_tree SELECT CONCAT('u', seq), CONCAT('Zoë ', seq), 2 FROM seq_1_to_{users};
INSERT INTO idm_user_idx_tree VALUES ('ua', 'anna', 2), ('ub', 'Anna', 2), ('uc', '{letters}', 2);
INSERT INTO idm_user_attributes SELECT CONCAT('u', seq), 'displayName', CONCAT('Façade ', seq) FROM seq_1_to_{users};
INSERT INTO idm_user_roles SELECT CONCAT('u', seq), 'ROOT_GROUP', seq FROM seq_1_to_{users};
INSERT INTO idm_acl_nodes SELECT seq, CONCAT('node', seq) FROM seq_1_to_{users};
INSERT INTO idm_acl_workspaces VALUES (1, 'common-files'), (2, 'personal-files');
INSERT INTO idm_acl_roles VALUES ('ROOT_GROUP'), ('ADMINS');
INSERT INTO idm_acls SELECT seq, seq, 1, 'common-files', 'ROOT_GROUP', 'read' FROM seq_1_to_{users};
INSERT INTO idm_policy_group VALUES ('g1', 'default');
INSERT INTO idm_policy VALUES ('p1', 'Général', 'allow');
INSERT INTO idm_policy_rel VALUES ('g1', 'p1');
INSERT INTO data_pydiods1_nodes SELECT CONCAT('n', seq), CONCAT('Résumé ', seq, '.txt'), 'root' FROM seq_1_to_{files};
INSERT INTO data_pydiods1_nodes VALUES ('na', 'readme', 'root'), ('nb', 'README', 'root');
INSERT INTO data_personal_nodes VALUES ('pa', 'notes', 'root'), ('pb', 'Notes', 'root');
INSERT INTO hydra_client VALUES ('cells-frontend', 'CellsFrontend', 'secret');
INSERT INTO hydra_jwk (sid, kid, keydata) VALUES ('hydra.openid.id-token', 'private:1', 'k1'), ('hydra.openid.id-token', 'public:1', 'k2');
INSERT INTO hydra_jwk_migration VALUES ('1', NOW());
INSERT INTO gorp_migrations VALUES ('idm_user_0.1.sql', NOW()), ('idm_acl_0.1.sql', NOW()), ('idm_policy_0.2.sql', NOW()), ('data_index_0.1.sql', NOW());
"""

KEYS = """SELECT k.table_name, k.constraint_name, GROUP_CONCAT(k.column_name ORDER BY k.ordinal_position), k.referenced_table_name,
	GROUP_CONCAT(k.referenced_column_name ORDER BY k.ordinal_position), r.delete_rule, r.update_rule
	FROM information_schema.key_column_usage k JOIN information_schema.referential_constraints r USING (constraint_schema, constraint_name)
	WHERE k.constraint_schema = 'cells' AND k.referenced_table_name IS NOT NULL AND k.table_name NOT LIKE 'v4%' GROUP BY k.table_name, k.constraint_name ORDER BY 1, 2"""


def create(db, state="healthy", users=200, files=2000, password="cells"):
	"""db: a server of databases.py."""
	assert state in STATES, state
	charset = "latin1" if state in ("latin1", "keyless") else "utf8mb4"
	jwk = "latin1" if state == "jwk" else charset
	collation = "latin1_swedish_ci" if charset == "latin1" else "utf8mb4_unicode_ci" if state == "jwk" else "utf8mb4_general_ci"
	default = "latin1_swedish_ci" if state == "database" else "utf8mb4_unicode_ci" if state == "jwk" else "utf8mb4_general_ci"
	db.sql(f"CREATE DATABASE cells COLLATE {default}; SET NAMES utf8mb4; USE cells;"
		+ TABLES.format(c=charset, ci=collation, jwk=jwk, rows=" ROW_FORMAT=COMPACT" if charset == "latin1" else "")
		+ ROWS.format(users=users, files=files, letters="Øl" if charset == "latin1" else "Δ😀")
		+ f"CREATE USER cells@'%' IDENTIFIED BY '{password}'; GRANT ALL ON cells.* TO cells@'%';", seconds=120)
	if state == "keyless":
		db.sql(";".join(f"ALTER TABLE cells.{table} DROP FOREIGN KEY {name}" for table, name, *_ in keys(db)))


def keys(db):
	"""The foreign keys, with their columns and rules, but for those of v4."""
	return db.sql(KEYS)


def collations(db):
	"""{table or table.column: collation} of what is text."""
	return dict(db.sql("SELECT table_name, table_collation FROM information_schema.tables WHERE table_schema = 'cells' UNION ALL "
		"SELECT CONCAT(table_name, '.', column_name), collation_name FROM information_schema.columns WHERE table_schema = 'cells' AND collation_name IS NOT NULL"))


def texts(db):
	"""What people have written, as UTF-8 in hexadecimal: to be the same whatever it is kept in."""
	columns = {"idm_user_idx_tree": "uuid, HEX(CONVERT(name USING utf8mb4))", "idm_user_attributes": "uuid, HEX(CONVERT(value USING utf8mb4))",
		"data_pydiods1_nodes": "uuid, HEX(CONVERT(name USING utf8mb4))", "idm_acls": "id, node_id, workspace, role",
		"idm_user_roles": "uuid, role, weight"}
	return {table: db.sql(f"SELECT {what} FROM cells.{table} ORDER BY 1") for table, what in columns.items()}
