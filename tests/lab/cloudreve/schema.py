# SPDX-License-Identifier: MIT
"""Cloudreve's tables as far as the migration looks at them: V3's (with its prefix) and V4's (which knows none)."""

_BASE = "id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, created_at DATETIME NULL, updated_at DATETIME NULL, deleted_at DATETIME NULL"

V3 = {
	"settings": "type VARCHAR(64), name VARCHAR(191) UNIQUE, value TEXT",
	"nodes": "status INT, name VARCHAR(255), type INT, server VARCHAR(255), aria2_enabled TINYINT(1), aria2_options TEXT, `rank` INT",
	"policies": "name VARCHAR(255), type VARCHAR(64), server VARCHAR(255), options TEXT",
	"groups": "name VARCHAR(255), policies TEXT, max_storage BIGINT, options TEXT",
	"users": "email VARCHAR(100) UNIQUE, nick VARCHAR(50), password VARCHAR(255), status INT, group_id INT UNSIGNED, storage BIGINT, avatar VARCHAR(255), options TEXT",
	"folders": "name VARCHAR(255), parent_id INT UNSIGNED NULL, owner_id INT UNSIGNED, KEY (parent_id), UNIQUE idx_only_one_name (name(100), parent_id, owner_id)",
	"files": "name VARCHAR(255), source_name TEXT, user_id INT UNSIGNED, size BIGINT, folder_id INT UNSIGNED, policy_id INT UNSIGNED, KEY (folder_id)",
	"shares": "password VARCHAR(255), is_dir TINYINT(1), user_id INT UNSIGNED, source_id INT UNSIGNED, views INT, downloads INT, expires DATETIME NULL, source_name VARCHAR(255)",
	"source_links": "file_id INT UNSIGNED, name VARCHAR(255), downloads INT",
	"webdavs": "name VARCHAR(255), password VARCHAR(255), user_id INT UNSIGNED, root TEXT",
	"tasks": "status INT, type INT, user_id INT UNSIGNED",
}

# No ENGINE, as ent writes them: the server's default decides, and MyISAM has no room for these keys.
V4 = {
	"settings": "name VARCHAR(255) NOT NULL UNIQUE, value LONGTEXT",
	"nodes": "status VARCHAR(16), name VARCHAR(255), type VARCHAR(16), server VARCHAR(255), settings LONGTEXT, weight INT",
	"storage_policies": "name VARCHAR(255), type VARCHAR(64), server VARCHAR(255), settings LONGTEXT",
	"groups": "name VARCHAR(255), max_storage BIGINT, settings LONGTEXT, storage_policy_id INT",
	"users": "email VARCHAR(255) NOT NULL UNIQUE, nick VARCHAR(255), password VARCHAR(255), status VARCHAR(16), storage BIGINT, settings LONGTEXT, group_users INT UNSIGNED NOT NULL, FOREIGN KEY (group_users) REFERENCES `groups` (id)",
	"files": "type INT, name VARCHAR(255), owner_id INT, size BIGINT, primary_entity INT, file_children INT NULL, UNIQUE file_file_children_name (file_children, name)",
	"entities": "type INT, source TEXT, size BIGINT, storage_policy_entities INT, created_by INT",
	"shares": "password VARCHAR(255), views INT, downloads INT, expires DATETIME NULL, file_shares INT, user_shares INT",
	"direct_links": "name VARCHAR(255), downloads INT, file_id INT",
	"dav_accounts": "name VARCHAR(255), uri LONGTEXT, password VARCHAR(255), owner_id INT",
	"tasks": "status VARCHAR(16), type VARCHAR(64), user_tasks INT",
}


def v3_ddl(prefix):
	return [f"CREATE TABLE `{prefix}{name}` ({_BASE}, {columns}) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4" for name, columns in V3.items()]


def v4_ddl():
	return [f"CREATE TABLE IF NOT EXISTS `{name}` ({_BASE}, {columns}) CHARSET utf8mb4 COLLATE utf8mb4_bin" for name, columns in V4.items()]
