-- SPDX-License-Identifier: MIT
-- Domains have a status and administrators.
ALTER TABLE domain_settings ALTER COLUMN enabled DROP DEFAULT;
ALTER TABLE domain_settings CHANGE enabled status tinyint NOT NULL;
ALTER TABLE domain_settings ALTER COLUMN status SET DEFAULT 1;
CREATE TABLE domain_admins (domain varchar(250) PRIMARY KEY, pass_details text NOT NULL);
