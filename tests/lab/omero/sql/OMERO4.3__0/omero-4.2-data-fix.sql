-- SPDX-License-Identifier: MIT
-- Mends what the constraints of 4.3 refuse and nobody has to decide.
BEGIN;
UPDATE pixels SET sizez = 1 WHERE sizez = 0;
UPDATE logicalchannel SET excitationwave = NULL WHERE excitationwave <= 0;
UPDATE logicalchannel SET emissionwave = NULL WHERE emissionwave <= 0;
COMMIT;
