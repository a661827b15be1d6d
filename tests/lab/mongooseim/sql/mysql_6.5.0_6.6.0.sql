-- SPDX-License-Identifier: MIT
-- Accounts that may not log in.
CREATE TABLE blocklist (luser varchar(250) NOT NULL, lserver varchar(250) NOT NULL, reason text, PRIMARY KEY (luser, lserver));
