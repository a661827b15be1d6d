-- SPDX-License-Identifier: MIT
-- The inbox has boxes where it had a mark.
ALTER TABLE inbox ALTER COLUMN archive DROP DEFAULT;
ALTER TABLE inbox ALTER COLUMN archive TYPE varchar(64) USING CASE WHEN archive THEN 'archive' ELSE 'inbox' END;
ALTER TABLE inbox RENAME archive TO box;
ALTER TABLE inbox ALTER COLUMN box SET DEFAULT 'inbox';
