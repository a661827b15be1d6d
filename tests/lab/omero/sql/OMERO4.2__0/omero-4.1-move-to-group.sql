-- SPDX-License-Identifier: MIT
-- Repair of "Different groups": all that -vUSR=N owns moves to group -vGRP=N.
BEGIN;
UPDATE image SET group_id = :GRP WHERE owner_id = :USR;
UPDATE dataset SET group_id = :GRP WHERE owner_id = :USR;
INSERT INTO groupexperimentermap (parent, child) SELECT :GRP, :USR
	WHERE NOT EXISTS (SELECT 1 FROM groupexperimentermap WHERE parent = :GRP AND child = :USR);
COMMIT;
