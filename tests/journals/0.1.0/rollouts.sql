PRAGMA application_id = 1970300772;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE journal (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, boot_ms INTEGER NOT NULL, epoch INTEGER NOT NULL, kind INTEGER NOT NULL, unit INTEGER, step INTEGER, lane INTEGER NOT NULL, dir INTEGER NOT NULL, attempt INTEGER NOT NULL, code INTEGER NOT NULL, value INTEGER NOT NULL, hash INTEGER NOT NULL, actor TEXT, text TEXT, sum INTEGER NOT NULL) STRICT;
INSERT INTO "journal" VALUES(1,1795264907377,14284901,0,1,NULL,NULL,-1,0,0,0,0,0,NULL,'{"format":1,"upgd":"0.1.0"}',2724668502559475416);
INSERT INTO "journal" VALUES(2,1795264907395,14284919,1,2,NULL,NULL,-1,0,0,1,1,0,'uid=0(root) pid=10379','sbin=
from=7.10.5
old_fleet=oxserver
new_fleet=oxserver-new
redirect=http://127.0.0.1:24599
backup_cnf=/tmp/upgd-lab-upyf50_1/cnf/root1.cnf
backup_dir=/tmp/upgd-lab-upyf50_1/backup
soak=1s
settle=1s
drain=30s
away=4s
to=7.10.6
package=7.10.6-44

language = 1;
profile = "ox-appsuite";
params = {
  from = {
    type = "version";
    doc = "what the old nodes run, as /health says it: 7.10.5";
  };
  to = {
    type = "version";
    doc = "what the new nodes run: 7.10.6";
  };
  package = {
    type = "text";
    doc = "the exact package version to install: 7.10.6-44";
  };
  old_fleet = {
    type = "name";
    doc = "SERVER_NAME of the old fleet";
    default = "oxserver";
  };
  new_fleet = {
    type = "name";
    doc = "SERVER_NAME of the new fleet";
  };
  redirect = {
    type = "url";
    doc = "where users of moved schemata are sent";
  };
  sbin = {
    type = "text";
    doc = "where the command line tools are, with a slash";
    default = "/opt/open-xchange/sbin/";
  };
  reason = {
    type = "int";
    doc = "SCHEMA_MOVE_MAINTENANCE_REASON of both fleets";
    default = "1431655765";
  };
  configdb = {
    type = "name";
    doc = "name of the configuration database";
    default = "configdb";
  };
  backup_cnf = {
    type = "text";
    doc = "option file of an account that may dump it, on the host of upgd";
    default = "/etc/upgd/backup.cnf";
  };
  backup_dir = {
    type = "text";
    doc = "where the dump goes, on the host of upgd";
    default = "/var/lib/upgd/backup";
  };
  soak = {
    type = "duration";
    doc = "wait after the first node and after the first schema";
    default = "20m";
  };
  settle = {
    type = "duration";
    doc = "how long no tenant may be seen on the old fleet before main is turned over";
    default = "10m";
  };
  away = {
    type = "duration";
    doc = "how long an old node may be down for upgd and in main before it is fenced: kept out of main until its redirect is set";
    default = "2m";
  };
  drain = {
    type = "duration";
    doc = "how long sessions of a node may take to end";
    default = "10m";
  };
};
classes = [ "mixed", "empty", "half" ];
respect = "main";
sets = {
  node = {
    from = "nodes";
    probe = "version";
    class = ( 
      {
        is = "old";
        match = "^${param.from}(-|$)";
      }, 
      {
        is = "new";
        match = "^${param.to}(-|$)";
      } );
  };
  schema = {
    sql = "configdb";
    host = "host";
    weight = "tenants";
    up = "enabled";
    column = "owner";
    query = "SELECT p.db_schema AS name, p.write_db_pool_id AS host, COUNT(*) AS tenants, COALESCE(SUM(c.enabled), 0) AS enabled, CASE WHEN SUM(NOT COALESCE(c.enabled, 0) AND COALESCE(c.reason_id, 0) = ${param.reason}) > 0 THEN ''HALF'' WHEN COUNT(DISTINCT p.server_id) > 1 THEN ''MIXED'' ELSE MIN(s.name) END AS owner FROM context_server2db_pool p JOIN context c ON c.cid = p.cid JOIN server s ON s.server_id = p.server_id GROUP BY p.db_schema, p.write_db_pool_id UNION ALL SELECT d.schemaname, d.db_pool_id, 0, 0, ''EMPTY'' FROM contexts_per_dbschema d WHERE NOT EXISTS (SELECT 1 FROM context_server2db_pool q WHERE q.db_schema = d.schemaname AND q.write_db_pool_id = d.db_pool_id)";
    class = ( 
      {
        is = "old";
        match = "^${param.old_fleet}$";
      }, 
      {
        is = "new";
        match = "^${param.new_fleet}$";
      }, 
      {
        is = "mixed";
        match = "^MIXED$";
      }, 
      {
        is = "empty";
        match = "^EMPTY$";
      }, 
      {
        is = "half";
        match = "^HALF$";
      } );
  };
};
probes = {
  version = {
    http = "${node.health}/health";
    json = "/service/version";
  };
  runs_old = {
    http = "${node.health}/health";
    json = "/service/version";
    match = "^${param.from}(-|$)";
    doc = "the node runs the old version and says it is healthy";
  };
  runs_new = {
    http = "${node.health}/health";
    json = "/service/version";
    match = "^${param.to}(-|$)";
    doc = "the node runs the new version and says it is healthy";
  };
  dump_whole = {
    run = [ "tail", "-n", "1", "${param.backup_dir}/configdb-${rollout}.sql" ];
    on = "local";
    match = "^-- Dump completed";
    doc = "the dump of configdb ends as a whole dump does";
  };
  registered = {
    sql = "configdb";
    query = "SELECT server_id FROM server WHERE name = ?";
    args = [ "${param.new_fleet}" ];
    rows = 1;
    doc = "the new fleet''s name is registered";
  };
  changelog = {
    sql = "configdb";
    query = "SELECT 1 FROM DATABASECHANGELOGLOCK WHERE LOCKED";
    rows = 0;
    doc = "no changelog of configdb is running";
  };
  src = {
    sql = "configdb";
    query = "SELECT server_id FROM server WHERE name = ?";
    args = [ "${param.old_fleet}" ];
    rows = 1;
  };
  dst = {
    sql = "configdb";
    query = "SELECT server_id FROM server WHERE name = ?";
    args = [ "${param.new_fleet}" ];
    rows = 1;
  };
  pending = {
    run = [ "${param.sbin}listUpdateTasks", "-n", "${schema.name}", "-g" ];
    on = "new";
    env = [ "ADMIN_PASSWORD=${secret.ox}" ];
    column = "taskName";
  };
  excluded = {
    run = [ "${param.sbin}listUpdateTasks", "-n", "${schema.name}", "-x" ];
    on = "new";
    env = [ "ADMIN_PASSWORD=${secret.ox}" ];
    column = "taskName";
  };
  was_off = {
    sql = "configdb";
    query = "SELECT c.cid FROM context c JOIN context_server2db_pool p ON p.cid = c.cid WHERE p.db_schema = ? AND p.write_db_pool_id = ? AND NOT COALESCE(c.enabled, 0)";
    args = [ "${schema.name}", "${schema.host}" ];
  };
  reason_free = {
    sql = "configdb";
    query = "SELECT c.cid FROM context c JOIN context_server2db_pool p ON p.cid = c.cid WHERE p.db_schema = ? AND p.write_db_pool_id = ? AND NOT COALESCE(c.enabled, 0) AND c.reason_id = ?";
    args = [ "${schema.name}", "${schema.host}", "${param.reason}" ];
    rows = 0;
    doc = "no context of the schema is disabled with the maintenance reason already";
  };
  none_enabled = {
    sql = "configdb";
    query = "SELECT c.cid FROM context c JOIN context_server2db_pool p ON p.cid = c.cid WHERE p.db_schema = ? AND p.write_db_pool_id = ? AND c.enabled";
    args = [ "${schema.name}", "${schema.host}" ];
    rows = 0;
    doc = "no context of the schema is enabled";
  };
  off_is_ours = {
    sql = "configdb";
    query = "SELECT c.cid FROM context c JOIN context_server2db_pool p ON p.cid = c.cid WHERE p.db_schema = ? AND p.write_db_pool_id = ? AND NOT COALESCE(c.enabled, 0) AND COALESCE(c.reason_id, 0) <> ?";
    args = [ "${schema.name}", "${schema.host}", "${param.reason}" ];
    subset_of = "was_off";
    doc = "every disabled context carries the maintenance reason or was disabled before";
  };
  owned_new = {
    sql = "configdb";
    query = "SELECT p.cid FROM context_server2db_pool p JOIN server s ON s.server_id = p.server_id WHERE p.db_schema = ? AND p.write_db_pool_id = ? AND s.name <> ?";
    args = [ "${schema.name}", "${schema.host}", "${param.new_fleet}" ];
    rows = 0;
    doc = "every context of the schema belongs to the new fleet";
  };
  owned_old = {
    sql = "configdb";
    query = "SELECT p.cid FROM context_server2db_pool p JOIN server s ON s.server_id = p.server_id WHERE p.db_schema = ? AND p.write_db_pool_id = ? AND s.name <> ?";
    args = [ "${schema.name}", "${schema.host}", "${param.old_fleet}" ];
    rows = 0;
    doc = "every context of the schema belongs to the old fleet";
  };
  none_left = {
    sql = "configdb";
    query = "SELECT c.cid FROM context c JOIN context_server2db_pool p ON p.cid = c.cid WHERE p.db_schema = ? AND p.write_db_pool_id = ? AND NOT COALESCE(c.enabled, 0) AND c.reason_id = ?";
    args = [ "${schema.name}", "${schema.host}", "${param.reason}" ];
    rows = 0;
    doc = "no context of the schema is left disabled by us";
  };
  unlocked = {
    sql = "host:${schema.host}";
    query = "SELECT taskName FROM `${schema.name}`.updateTask WHERE taskName IN (''LOCKED'', ''BACKGROUND'')";
    rows = 0;
    doc = "no update is running in the schema";
  };
  statements = {
    sql = "host:${schema.host}";
    query = "SELECT ID, CONCAT(USER, ''@'', HOST), INFO FROM information_schema.PROCESSLIST WHERE DB = ? AND COMMAND = ''Query'' AND INFO NOT LIKE ''SELECT%'' AND ID <> CONNECTION_ID()";
    args = [ "${schema.name}" ];
    rows = 0;
    doc = "no statement of an update still runs in the schema";
  };
  failed = {
    sql = "host:${schema.host}";
    query = "SELECT taskName FROM `${schema.name}`.updateTask WHERE NOT successful AND taskName NOT IN (''LOCKED'', ''BACKGROUND'')";
  };
  tasks_done = {
    sql = "host:${schema.host}";
    query = "SELECT taskName FROM `${schema.name}`.updateTask WHERE successful";
    contains = "tasks";
    except = [ "failed_before", "excluded" ];
    doc = "every task that was pending has run with success";
  };
  no_new_bad = {
    sql = "host:${schema.host}";
    query = "SELECT taskName FROM `${schema.name}`.updateTask WHERE NOT successful AND taskName NOT IN (''LOCKED'', ''BACKGROUND'')";
    subset_of = "failed_before";
    doc = "no task has failed that had not failed before";
  };
  counted = {
    sql = "configdb";
    query = "SELECT 1 FROM contexts_per_dbschema WHERE schemaname = ?";
    args = [ "${schema.name}" ];
    rows = 1;
    doc = "the schema is counted once in contexts_per_dbschema (mend: checkcountsconsistency)";
  };
  old_whole = {
    http = "${old.health}/health";
    json = "/checks/name=hazelcast/data/memberCount";
    equals = "${count.old.up}";
    doc = "the old fleet''s cluster has all its members";
  };
  new_whole = {
    http = "${new.health}/health";
    json = "/checks/name=hazelcast/data/memberCount";
    equals = "${count.new.up}";
    doc = "the new fleet''s cluster has all its members";
  };
  no_tenant_old = {
    sql = "configdb";
    query = "SELECT p.cid FROM context_server2db_pool p JOIN server s ON s.server_id = p.server_id JOIN context c ON c.cid = p.cid WHERE s.name = ? AND c.enabled";
    args = [ "${param.old_fleet}" ];
    rows = 0;
    doc = "no enabled context belongs to the old fleet";
  };
};
stages = ( 
  {
    name = "prepare";
    for = "cluster";
    steps = ( 
      {
        name = "freeze";
        approve = "provisioning is frozen until the end: no createcontext, on either fleet";
      }, 
      {
        name = "backup";
        takes = "2m";
        run = [ "mysqldump", "--defaults-extra-file=${param.backup_cnf}", "--single-transaction", "--result-file=${param.backup_dir}/configdb-${rollout}.sql", "--databases", "${param.configdb}" ];
        on = "local";
        resolve = "rerun";
        timeout = "1h";
        verify = [ "dump_whole" ];
        undo = "none";
      }, 
      {
        name = "register";
        takes = "5s";
        run = [ "${param.sbin}registerserver", "-n", "${param.new_fleet}" ];
        env = [ "ADMIN_PASSWORD=${secret.ox}" ];
        on = "old";
        skip_if_done = true;
        done_when = [ "registered" ];
        resolve = "probe";
        timeout = "2m";
        verify = [ "registered" ];
        undo = {
          run = [ "${param.sbin}unregisterserver", "-n", "${param.new_fleet}" ];
          env = [ "ADMIN_PASSWORD=${secret.ox}" ];
          while = ( 
            {
              what = "new.tenants";
              max = 0;
            }, 
            {
              what = "new.nodes";
              max = 0;
            } );
        };
      } );
  }, 
  {
    name = "redirect";
    for = "node";
    where = [ "old" ];
    needs = [ "prepare" ];
    limits = {
      total = 8;
    };
    fence = "main";
    away = "${param.away}";
    steps = ( 
      {
        name = "probe";
        takes = "5s";
        run = [ "${param.sbin}reloadconfiguration" ];
        env = [ "ADMIN_PASSWORD=${secret.ox}" ];
        on = "self";
        resolve = "rerun";
        timeout = "2m";
        undo = {
          run = [ "${param.sbin}reloadconfiguration" ];
          env = [ "ADMIN_PASSWORD=${secret.ox}" ];
        };
      }, 
      {
        name = "set";
        edit = "${node.etc}/server.properties";
        line = "com.openexchange.server.migrationRedirectURL=";
        to = "${param.redirect}";
        on = "self";
        resolve = "rerun";
        undo = {
          restore = true;
          while = ( 
            {
              what = "new.tenants";
              max = 0;
            } );
        };
      }, 
      {
        name = "reload";
        takes = "5s";
        run = [ "${param.sbin}reloadconfiguration" ];
        env = [ "ADMIN_PASSWORD=${secret.ox}" ];
        on = "self";
        resolve = "rerun";
        timeout = "2m";
        undo = "none";
      }, 
      {
        name = "admit";
        server = "main";
        want = "ready";
        when = "fenced";
        undo = "none";
      } );
  }, 
  {
    name = "convert";
    for = "node";
    where = [ "old" ];
    needs = [ "redirect" ];
    canary = 1;
    soak = "${param.soak}";
    limits = {
      total = 1;
    };
    keep = ( 
      {
        what = "main.ready";
        min = 1;
      }, 
      {
        what = "old.nodes";
        min = 1;
        only = "old.tenants";
      }, 
      {
        what = "old.capacity";
        min = "old.tenants";
      } );
    steps = ( 
      {
        name = "first-boot";
        approve = "the first new node migrates configdb under the whole old fleet: one way";
      }, 
      {
        name = "drain";
        server = "main";
        want = "drain";
        idle = "${param.drain}";
        then = "next";
        undo = {
          restore = true;
        };
      }, 
      {
        name = "quiet";
        server = "main";
        want = "maint";
        idle = "30s";
        then = "shutdown";
        undo = {
          restore = true;
        };
      }, 
      {
        name = "stop";
        takes = "30s";
        run = [ "systemctl", "stop", "open-xchange" ];
        on = "self";
        resolve = "rerun";
        timeout = "5m";
        undo = {
          run = [ "systemctl", "start", "open-xchange" ];
          verify = [ "runs_old" ];
        };
        within = "10m";
      }, 
      {
        name = "install";
        takes = "3m";
        run = [ "apt-get", "install", "-y", "--allow-downgrades", "-o", "Dpkg::Options::=--force-confold", "open-xchange=${param.package}" ];
        env = [ "DEBIAN_FRONTEND=noninteractive" ];
        on = "self";
        resolve = "rerun";
        timeout = "30m";
        pivot = true;
      }, 
      {
        name = "name";
        edit = "${node.etc}/system.properties";
        line = "SERVER_NAME=";
        to = "${param.new_fleet}";
        on = "self";
        resolve = "rerun";
      }, 
      {
        name = "clear";
        edit = "${node.etc}/server.properties";
        line = "com.openexchange.server.migrationRedirectURL=";
        to = "";
        on = "self";
        resolve = "rerun";
      }, 
      {
        name = "no-push";
        edit = "${node.etc}/server.properties";
        line = "com.openexchange.push.allowPermanentPush=";
        to = "false";
        on = "self";
        resolve = "rerun";
      }, 
      {
        name = "no-update";
        edit = "${node.etc}/server.properties";
        line = "com.openexchange.groupware.update.denyImplicitUpdateOnContextLoad=";
        to = "true";
        on = "self";
        resolve = "rerun";
      }, 
      {
        name = "reason";
        edit = "${node.etc}/plugin/hosting.properties";
        line = "SCHEMA_MOVE_MAINTENANCE_REASON=";
        to = "${param.reason}";
        on = "self";
        resolve = "rerun";
      }, 
      {
        name = "start";
        takes = "2m";
        run = [ "systemctl", "start", "open-xchange" ];
        on = "self";
        resolve = "rerun";
        timeout = "10m";
        verify = [ "runs_new", "changelog" ];
        within = "15m";
      }, 
      {
        name = "join";
        server = "secondary";
        want = "ready";
      } );
  }, 
  {
    name = "migrate";
    for = "schema";
    where = [ "old", "mixed", "empty", "half" ];
    again = true;
    needs = [ "redirect" ];
    order = "longest";
    canary = 1;
    soak = "${param.soak}";
    limits = {
      total = 4;
      per_host = 2;
    };
    keep = ( 
      {
        what = "secondary.ready";
        min = 1;
      }, 
      {
        what = "new.capacity";
        min = "new.tenants";
        over = "one";
      } );
    before = [ "unlocked", "counted", "reason_free", "old_whole", "new_whole" ];
    steps = ( 
      {
        name = "ask";
        capture = ( 
          {
            name = "tasks";
            probe = "pending";
          }, 
          {
            name = "excluded";
            probe = "excluded";
          } );
      }, 
      {
        name = "base";
        capture = ( 
          {
            name = "was_off";
            probe = "was_off";
          }, 
          {
            name = "failed_before";
            probe = "failed";
          }, 
          {
            name = "src";
            probe = "src";
          }, 
          {
            name = "dst";
            probe = "dst";
          } );
      }, 
      {
        name = "disable";
        takes = "5s";
        run = [ "${param.sbin}disableschema", "-m", "${schema.name}" ];
        env = [ "ADMIN_PASSWORD=${secret.ox}" ];
        on = "old";
        when = "tenants";
        window = "open";
        resolve = "rerun";
        retry = 2;
        timeout = "5m";
        verify = [ "none_enabled", "off_is_ours" ];
        undo = {
          run = [ "${param.sbin}enableschema", "-m", "${schema.name}" ];
          env = [ "ADMIN_PASSWORD=${secret.ox}" ];
          verify = [ "none_left" ];
        };
      }, 
      {
        name = "repoint";
        takes = "5s";
        run = [ "${param.sbin}changeserver", "-m", "${schema.name}", "-s", "${capture.dst}" ];
        env = [ "ADMIN_PASSWORD=${secret.ox}" ];
        on = "old";
        when = "tenants";
        resolve = "probe";
        done_when = [ "owned_new" ];
        retry = 1;
        timeout = "5m";
        verify = [ "owned_new" ];
        undo = {
          run = [ "${param.sbin}changeserver", "-m", "${schema.name}", "-s", "${capture.src}" ];
          env = [ "ADMIN_PASSWORD=${secret.ox}" ];
          verify = [ "owned_old" ];
        };
      }, 
      {
        name = "update";
        takes = "30s";
        run = [ "${param.sbin}runupdate", "-n", "${schema.name}" ];
        env = [ "ADMIN_PASSWORD=${secret.ox}" ];
        on = "new";
        resolve = "attach";
        orphans = "statements";
        pivot = true;
        timeout = "4h";
        verify = [ "unlocked", "no_new_bad", "tasks_done" ];
        on_failure = "hold";
      }, 
      {
        name = "enable";
        takes = "5s";
        run = [ "${param.sbin}enableschema", "-m", "${schema.name}" ];
        env = [ "ADMIN_PASSWORD=${secret.ox}" ];
        on = [ "new", "old" ];
        when = "tenants";
        window = "close";
        resolve = "rerun";
        retry = 3;
        timeout = "5m";
        verify = [ "owned_new", "none_left" ];
      } );
  }, 
  {
    name = "sweep";
    for = "cluster";
    after = [ "migrate" ];
    keep = ( 
      {
        what = "old.tenants";
        max = 0;
      } );
    steps = ( 
      {
        name = "settle";
        wait = "${param.settle}";
      }, 
      {
        name = "look";
        verify = [ "no_tenant_old" ];
      } );
  }, 
  {
    name = "flip";
    for = "node";
    needs = [ "sweep" ];
    same = [ "convert" ];
    limits = {
      total = 2;
    };
    steps = ( 
      {
        name = "main";
        server = "main";
        want = "ready";
        undo = "none";
      }, 
      {
        name = "stay";
        server = "secondary";
        want = "ready";
        undo = "none";
      } );
  }, 
  {
    name = "settle";
    for = "node";
    after = [ "flip" ];
    same = [ "convert" ];
    limits = {
      total = 4;
    };
    steps = ( 
      {
        name = "push";
        edit = "${node.etc}/server.properties";
        line = "com.openexchange.push.allowPermanentPush=";
        to = "true";
        on = "self";
        resolve = "rerun";
        undo = "none";
      }, 
      {
        name = "update";
        edit = "${node.etc}/server.properties";
        line = "com.openexchange.groupware.update.denyImplicitUpdateOnContextLoad=";
        to = "false";
        on = "self";
        resolve = "rerun";
        undo = "none";
      }, 
      {
        name = "reload";
        takes = "5s";
        run = [ "${param.sbin}reloadconfiguration" ];
        env = [ "ADMIN_PASSWORD=${secret.ox}" ];
        on = "self";
        resolve = "rerun";
        timeout = "2m";
        verify = [ "runs_new" ];
        undo = "none";
      } );
  }, 
  {
    name = "close";
    for = "cluster";
    after = [ "settle", "convert" ];
    keep = ( 
      {
        what = "old.tenants";
        max = 0;
      } );
    steps = ( 
      {
        name = "last-look";
        verify = [ "no_tenant_old", "changelog" ];
      } );
  } );
',-6957557434186784058);
INSERT INTO "journal" VALUES(3,1795264907395,14284919,1,3,0,0,-1,0,0,0,0,0,NULL,'name=cluster
',-3265886564257667005);
INSERT INTO "journal" VALUES(4,1795264907395,14284919,1,3,1,1,0,0,0,1,1,16,NULL,'name=ox1
host=127.0.0.1
health=http://127.0.0.1:28880
capacity=16
etc=/tmp/upgd-lab-upyf50_1/nodes/ox1/etc
',-5932666393137698265);
INSERT INTO "journal" VALUES(5,1795264907395,14284919,1,3,2,1,0,0,0,1,1,16,NULL,'name=ox2
host=127.0.0.1
health=http://127.0.0.1:28944
capacity=16
etc=/tmp/upgd-lab-upyf50_1/nodes/ox2/etc
',-8417542283732465103);
INSERT INTO "journal" VALUES(6,1795264907395,14284919,1,3,3,2,1,0,0,1,2,0,NULL,'name=oxdatabase_1
host=3
tenants=2
enabled=1
owner=oxserver
',2118555437690466515);
INSERT INTO "journal" VALUES(7,1795264907395,14284919,1,3,4,2,2,0,0,1,2,0,NULL,'name=oxdatabase_2
host=5
tenants=2
enabled=2
owner=oxserver
',-7315327605800518584);
INSERT INTO "journal" VALUES(8,1795264907395,14284919,1,3,5,2,1,0,0,1,5,0,NULL,'name=oxdatabase_3
host=3
tenants=5
enabled=5
owner=oxserver
',6511536401285101013);
INSERT INTO "journal" VALUES(9,1795264907395,14284919,1,3,6,2,1,0,0,1,2,0,NULL,'name=oxdatabase_6
host=4
tenants=2
enabled=1
owner=oxserver
',-7901065387808456021);
INSERT INTO "journal" VALUES(10,1795264907395,14284919,1,3,7,2,2,0,0,1,5,0,NULL,'name=oxdatabase_archive
host=5
tenants=5
enabled=4
owner=oxserver
',-1918505288304303370);
INSERT INTO "journal" VALUES(11,1795264907395,14284919,1,3,8,2,1,0,0,4,0,0,NULL,'name=oxdatabase_5
host=3
tenants=0
enabled=0
owner=EMPTY
',1608320460171294495);
INSERT INTO "journal" VALUES(12,1795264907395,14284919,1,5,NULL,NULL,-1,0,0,0,0,0,NULL,NULL,4706994749896519151);
INSERT INTO "journal" VALUES(13,1795264907395,14284919,1,40,NULL,NULL,-1,0,0,0,0,0,'uid=0(root) pid=10379','a first try',-5736914656954699790);
INSERT INTO "journal" VALUES(14,1795264907395,14284919,1,41,NULL,NULL,-1,0,0,0,0,-3228066450069378209,'uid=0(root) pid=10379','bd34a49b2bbb62241f6d702e27c6aa1d',7213558659309634067);
INSERT INTO "journal" VALUES(15,1795264907395,14284919,1,10,0,0,-1,0,1,0,0,0,NULL,'under way 1 of 1, tenants down 0',-362185120266437779);
INSERT INTO "journal" VALUES(16,1795264907395,14284919,1,13,0,0,-1,0,1,3,0,0,NULL,'approved at start',-8581491643488233138);
INSERT INTO "journal" VALUES(17,1795264907395,14284919,1,11,0,1,-2,0,1,0,0,5884873583408476459,NULL,'mysqldump --defaults-extra-file=/tmp/upgd-lab-upyf50_1/cnf/root1.cnf --single-transaction --result-file=/tmp/upgd-lab-upyf50_1/backup/configdb-1.sql --databases configdb',-6545185312828397459);
INSERT INTO "journal" VALUES(18,1795264907401,14284925,1,33,NULL,0,1,0,0,0,1795264905,10274,NULL,'process 2 of main is pid 10274',-2294089857142933335);
INSERT INTO "journal" VALUES(19,1795264907401,14284925,1,33,NULL,0,0,0,0,0,1795264905,10267,NULL,'process 1 of main is pid 10267',6696663843136385262);
INSERT INTO "journal" VALUES(20,1795264907401,14284925,1,33,NULL,1,0,0,0,0,1795264905,10278,NULL,'process 1 of secondary is pid 10278',-8530160098049971172);
INSERT INTO "journal" VALUES(21,1795264907467,14284991,1,12,0,1,-2,0,1,0,0,17,NULL,'exit 0 after 0.1 s',87829820024778847);
INSERT INTO "journal" VALUES(22,1795264907480,14285004,1,13,0,1,-1,0,1,0,0,0,NULL,'dump_whole: "-- Dump completed on 2026-11-21 12:41:47", expected to match ^-- Dump completed',-2983594096170744242);
INSERT INTO "journal" VALUES(23,1795264907482,14285005,1,11,0,2,1,0,1,0,0,3289120962474183870,NULL,'ADMIN_PASSWORD=${secret.ox} registerserver -n oxserver-new',-7628681415783012197);
INSERT INTO "journal" VALUES(24,1795264907528,14285051,1,12,0,2,1,0,1,0,0,23,NULL,'exit 0 after 0.0 s
server 107 registered
',-6398071474690666077);
INSERT INTO "journal" VALUES(25,1795264907529,14285053,1,13,0,2,-1,0,1,0,0,0,NULL,'registered: 1 row, expected 1',3123841805017577225);
INSERT INTO "journal" VALUES(26,1795264907529,14285053,1,15,0,3,-1,0,1,3,0,0,NULL,NULL,-2563912866393882715);
INSERT INTO "journal" VALUES(27,1795264907529,14285053,1,10,3,0,-1,0,1,0,1,0,NULL,'under way 1 of 8, tenants down 0',3786589240487152923);
INSERT INTO "journal" VALUES(28,1795264907529,14285053,1,10,7,0,-1,0,1,0,1,0,NULL,'under way 2 of 8, tenants down 0',890950204450991430);
INSERT INTO "journal" VALUES(29,1795264907529,14285053,1,11,3,0,1,0,1,0,0,-1538659807431714037,NULL,'ADMIN_PASSWORD=${secret.ox} reloadconfiguration',5960523619803374496);
INSERT INTO "journal" VALUES(30,1795264907529,14285053,1,11,7,0,2,0,1,0,0,-1538659807431714037,NULL,'ADMIN_PASSWORD=${secret.ox} reloadconfiguration',3878340795435106662);
INSERT INTO "journal" VALUES(31,1795264907571,14285094,1,12,3,0,1,0,1,0,0,29,NULL,'exit 0 after 0.0 s',8632989413248060589);
INSERT INTO "journal" VALUES(32,1795264907571,14285095,1,13,3,0,-1,0,1,0,0,0,NULL,NULL,-2192184901746700748);
INSERT INTO "journal" VALUES(33,1795264907574,14285098,1,12,7,0,2,0,1,0,0,30,NULL,'exit 0 after 0.0 s',4906725564890456755);
INSERT INTO "journal" VALUES(34,1795264907574,14285098,1,14,3,1,-1,0,1,0,0,0,NULL,'{"baseline":{"set":"com.openexchange.server.migrationRedirectURL="}}',139747228695357280);
INSERT INTO "journal" VALUES(35,1795264907574,14285098,1,11,3,1,1,0,1,0,0,8492116506644708846,NULL,'edit /tmp/upgd-lab-upyf50_1/nodes/ox1/etc/server.properties: com.openexchange.server.migrationRedirectURL=http://127.0.0.1:24599',7449859155976350949);
INSERT INTO "journal" VALUES(36,1795264907575,14285099,1,13,7,0,-1,0,1,0,0,0,NULL,NULL,79305598243693891);
INSERT INTO "journal" VALUES(37,1795264907577,14285100,1,14,7,1,-1,0,1,0,0,0,NULL,'{"baseline":{"set":"com.openexchange.server.migrationRedirectURL="}}',-7288301027857576575);
INSERT INTO "journal" VALUES(38,1795264907577,14285100,1,11,7,1,2,0,1,0,0,1956255496205975993,NULL,'edit /tmp/upgd-lab-upyf50_1/nodes/ox2/etc/server.properties: com.openexchange.server.migrationRedirectURL=http://127.0.0.1:24599',4008315790126855227);
INSERT INTO "journal" VALUES(39,1795264907584,14285107,1,12,3,1,1,0,1,0,0,35,NULL,'exit 0 after 0.0 s',937335940456137462);
INSERT INTO "journal" VALUES(40,1795264907584,14285108,1,12,7,1,2,0,1,0,0,38,NULL,'exit 0 after 0.0 s',-2554408080178916517);
INSERT INTO "journal" VALUES(41,1795264907584,14285108,1,13,3,1,-1,0,1,0,0,0,NULL,NULL,3493530541501237623);
INSERT INTO "journal" VALUES(42,1795264907584,14285108,1,11,3,2,1,0,1,0,0,-1538659807431714037,NULL,'ADMIN_PASSWORD=${secret.ox} reloadconfiguration',-424375058636909063);
INSERT INTO "journal" VALUES(43,1795264907585,14285109,1,13,7,1,-1,0,1,0,0,0,NULL,NULL,-4474874360734316817);
INSERT INTO "journal" VALUES(44,1795264907585,14285109,1,11,7,2,2,0,1,0,0,-1538659807431714037,NULL,'ADMIN_PASSWORD=${secret.ox} reloadconfiguration',5834385210777683160);
INSERT INTO "journal" VALUES(45,1795264907628,14285152,1,12,7,2,2,0,1,0,0,44,NULL,'exit 0 after 0.0 s',2872613595444848796);
INSERT INTO "journal" VALUES(46,1795264907629,14285153,1,13,7,2,-1,0,1,0,0,0,NULL,NULL,7307873733788286346);
INSERT INTO "journal" VALUES(47,1795264907629,14285153,1,15,7,3,-1,0,1,3,0,0,NULL,NULL,-5328867898948315900);
INSERT INTO "journal" VALUES(48,1795264907631,14285155,1,12,3,2,1,0,1,0,0,42,NULL,'exit 0 after 0.0 s',7706645590070051801);
INSERT INTO "journal" VALUES(49,1795264907632,14285155,1,13,3,2,-1,0,1,0,0,0,NULL,NULL,4727021233744902053);
INSERT INTO "journal" VALUES(50,1795264907632,14285155,1,15,3,3,-1,0,1,3,0,0,NULL,NULL,3382529067815307551);
INSERT INTO "journal" VALUES(51,1795264907635,14285159,1,10,4,0,-1,0,1,0,1,0,NULL,'under way 1 of 1, tenants down 0',-391625617584286439);
INSERT INTO "journal" VALUES(52,1795264907635,14285159,1,13,4,0,-1,0,1,3,0,0,NULL,'approved at start',-3229019624468888171);
INSERT INTO "journal" VALUES(53,1795264907636,14285160,1,14,4,1,-1,0,1,0,0,0,NULL,'{"baseline":{"drain":["ready","ready"]}}',-7751791224244242308);
INSERT INTO "journal" VALUES(54,1795264907636,14285160,1,11,4,1,-1,0,1,0,0,7034601771786032790,NULL,'main/ox1 -> drain',4759540368220789451);
INSERT INTO "journal" VALUES(55,1795264907636,14285160,1,30,4,0,1,0,1,2,0,0,NULL,NULL,-2069732353210455963);
INSERT INTO "journal" VALUES(56,1795264907760,14285283,1,12,4,1,-1,0,1,0,0,54,NULL,'idle',9011839060489795364);
INSERT INTO "journal" VALUES(57,1795264907760,14285284,1,13,4,1,-1,0,1,0,0,0,NULL,NULL,6762542184879582580);
INSERT INTO "journal" VALUES(58,1795264907761,14285285,1,14,4,2,-1,0,1,0,0,0,NULL,'{"baseline":{"quiet":["drain","drain"]}}',-2821846826727585067);
INSERT INTO "journal" VALUES(59,1795264907761,14285285,1,11,4,2,-1,0,1,0,0,-7272398405333000569,NULL,'main/ox1 -> maint',-879189524225425501);
INSERT INTO "journal" VALUES(60,1795264907761,14285285,1,30,4,0,1,0,1,3,0,0,NULL,NULL,9192093985723755579);
INSERT INTO "journal" VALUES(61,1795264907887,14285411,1,12,4,2,-1,0,1,0,0,59,NULL,'idle',-417604478349738135);
INSERT INTO "journal" VALUES(62,1795264907888,14285412,1,13,4,2,-1,0,1,0,0,0,NULL,NULL,1411093546540945603);
INSERT INTO "journal" VALUES(63,1795264907888,14285412,1,11,4,3,1,0,1,0,0,5292380207928193692,NULL,'systemctl stop open-xchange',-3116470727430647785);
INSERT INTO "journal" VALUES(64,1795264907920,14285444,1,12,4,3,1,0,1,0,0,63,NULL,'exit 0 after 0.0 s',4886618547079766770);
INSERT INTO "journal" VALUES(65,1795264907921,14285445,1,13,4,3,-1,0,1,0,0,0,NULL,NULL,-6621950757700918677);
INSERT INTO "journal" VALUES(66,1795264907921,14285445,1,11,4,4,1,0,1,0,0,-3671514664753974615,NULL,'DEBIAN_FRONTEND=noninteractive apt-get install -y --allow-downgrades -o Dpkg::Options::=--force-confold open-xchange=7.10.6-44',-2766341778746253611);
INSERT INTO "journal" VALUES(67,1795264908234,14285758,1,12,4,4,1,0,1,0,0,66,NULL,'exit 0 after 0.3 s
Reading package lists...
Building dependency tree...
The following packages will be upgraded:
  open-xchange
Preparing to unpack .../open-xchange_7.10.6-44_all.deb ...
Setting up open-xchange (7.10.6-44) ...
',-3739924218899561320);
INSERT INTO "journal" VALUES(68,1795264908236,14285759,1,13,4,4,-1,0,1,0,0,0,NULL,NULL,979959957960033891);
INSERT INTO "journal" VALUES(69,1795264908236,14285759,1,11,4,5,1,0,1,0,0,-3781827296400091372,NULL,'edit /tmp/upgd-lab-upyf50_1/nodes/ox1/etc/system.properties: SERVER_NAME=oxserver-new',-6546766141255125063);
INSERT INTO "journal" VALUES(70,1795264908241,14285765,1,12,4,5,1,0,1,0,0,69,NULL,'exit 0 after 0.0 s',-3223017752618041561);
INSERT INTO "journal" VALUES(71,1795264908241,14285765,1,13,4,5,-1,0,1,0,0,0,NULL,NULL,8240779006407392271);
INSERT INTO "journal" VALUES(72,1795264908241,14285765,1,11,4,6,1,0,1,0,0,-6543687503797397494,NULL,'edit /tmp/upgd-lab-upyf50_1/nodes/ox1/etc/server.properties: com.openexchange.server.migrationRedirectURL=',-4773798632059679308);
INSERT INTO "journal" VALUES(73,1795264908248,14285771,1,12,4,6,1,0,1,0,0,72,NULL,'exit 0 after 0.0 s',-1651867101719754840);
INSERT INTO "journal" VALUES(74,1795264908248,14285772,1,13,4,6,-1,0,1,0,0,0,NULL,NULL,-740672396274213977);
INSERT INTO "journal" VALUES(75,1795264908248,14285772,1,11,4,7,1,0,1,0,0,7302903618452833188,NULL,'edit /tmp/upgd-lab-upyf50_1/nodes/ox1/etc/server.properties: com.openexchange.push.allowPermanentPush=false',8753277405637796338);
INSERT INTO "journal" VALUES(76,1795264908255,14285778,1,12,4,7,1,0,1,0,0,75,NULL,'exit 0 after 0.0 s',-5481016816269301108);
INSERT INTO "journal" VALUES(77,1795264908255,14285779,1,13,4,7,-1,0,1,0,0,0,NULL,NULL,4922216874007160060);
INSERT INTO "journal" VALUES(78,1795264908255,14285779,1,11,4,8,1,0,1,0,0,-2328436519188595045,NULL,'edit /tmp/upgd-lab-upyf50_1/nodes/ox1/etc/server.properties: com.openexchange.groupware.update.denyImplicitUpdateOnContextLoad=true',3297886251861082575);
INSERT INTO "journal" VALUES(79,1795264908261,14285785,1,12,4,8,1,0,1,0,0,78,NULL,'exit 0 after 0.0 s',-446586326439734310);
INSERT INTO "journal" VALUES(80,1795264908262,14285786,1,13,4,8,-1,0,1,0,0,0,NULL,NULL,6144124404317100184);
INSERT INTO "journal" VALUES(81,1795264908262,14285786,1,11,4,9,1,0,1,0,0,-6555681949216500716,NULL,'edit /tmp/upgd-lab-upyf50_1/nodes/ox1/etc/plugin/hosting.properties: SCHEMA_MOVE_MAINTENANCE_REASON=1431655765',-4164607640788260958);
INSERT INTO "journal" VALUES(82,1795264908267,14285791,1,12,4,9,1,0,1,0,0,81,NULL,'exit 0 after 0.0 s',5937935739670677526);
INSERT INTO "journal" VALUES(83,1795264908268,14285792,1,13,4,9,-1,0,1,0,0,0,NULL,NULL,4216207804348960183);
INSERT INTO "journal" VALUES(84,1795264908268,14285792,1,11,4,10,1,0,1,0,0,-823388434338852926,NULL,'systemctl start open-xchange',-6485899482788319347);
INSERT INTO "journal" VALUES(85,1795264908289,14285813,1,12,4,10,1,0,1,0,0,84,NULL,'exit 0 after 0.0 s',7367863960832302870);
INSERT INTO "journal" VALUES(86,1795264912047,14289571,1,13,4,10,-1,0,1,0,0,0,NULL,'changelog: 0 rows, expected 0',-3703751912622817472);
INSERT INTO "journal" VALUES(87,1795264912047,14289571,1,11,4,11,-1,0,1,0,0,4249864393776725836,NULL,'secondary/ox1 -> ready',-2265725780384882049);
INSERT INTO "journal" VALUES(88,1795264912047,14289571,1,30,4,1,1,0,1,1,0,0,NULL,NULL,8678168057130984695);
INSERT INTO "journal" VALUES(89,1795264912362,14289886,1,12,4,11,-1,0,1,0,0,87,NULL,NULL,-4035577366298121548);
INSERT INTO "journal" VALUES(90,1795264912363,14289887,1,13,4,11,-1,0,1,0,0,0,NULL,NULL,6177236428702762604);
INSERT INTO "journal" VALUES(91,1795264912363,14289887,1,15,4,12,-1,0,1,3,0,0,NULL,NULL,3995200156387719103);
INSERT INTO "journal" VALUES(92,1795264912369,14289893,1,25,NULL,NULL,-1,0,0,0,0,0,'uid=0(root) pid=10692','not tonight',8656281292800382701);
INSERT INTO "journal" VALUES(93,1795264912369,14289893,1,41,NULL,NULL,-1,0,0,0,0,-6475048742704697930,'uid=0(root) pid=10692','333deaf3298eae12d38b0a9ffe2dc906',4645665980801066326);
INSERT INTO "journal" VALUES(94,1795264912374,14289897,1,15,3,3,-1,0,1,2,1,0,NULL,'abort',-334113287134846030);
INSERT INTO "journal" VALUES(95,1795264912374,14289897,1,15,7,3,-1,0,1,2,1,0,NULL,'abort',-8241320306070569578);
INSERT INTO "journal" VALUES(96,1795264912374,14289897,1,13,3,2,-1,1,1,1,0,0,NULL,NULL,-5668947661212129882);
INSERT INTO "journal" VALUES(97,1795264912374,14289897,1,13,7,2,-1,1,1,1,0,0,NULL,NULL,-1874623770275802981);
INSERT INTO "journal" VALUES(98,1795264912377,14289900,1,11,3,1,1,1,1,0,0,8310686636524032737,NULL,'edit /tmp/upgd-lab-upyf50_1/nodes/ox1/etc/server.properties: com.openexchange.server.migrationRedirectURL= back as it was',8011433307095921557);
INSERT INTO "journal" VALUES(99,1795264912377,14289900,1,11,7,1,2,1,1,0,0,-574762891593886116,NULL,'edit /tmp/upgd-lab-upyf50_1/nodes/ox2/etc/server.properties: com.openexchange.server.migrationRedirectURL= back as it was',2152130816974953103);
INSERT INTO "journal" VALUES(100,1795264912378,14289902,1,12,3,1,1,1,1,0,0,98,NULL,'it is as it was before',-4829949908948548898);
INSERT INTO "journal" VALUES(101,1795264912379,14289902,1,13,3,1,-1,1,1,4,0,0,NULL,NULL,7920325937067483535);
INSERT INTO "journal" VALUES(102,1795264912379,14289902,1,11,3,0,1,1,1,0,0,-1538659807431714037,NULL,'ADMIN_PASSWORD=${secret.ox} reloadconfiguration',-5774127793316476235);
INSERT INTO "journal" VALUES(103,1795264912383,14289906,1,12,7,1,2,1,1,0,0,99,NULL,'exit 0 after 0.0 s',3966464522608670144);
INSERT INTO "journal" VALUES(104,1795264912383,14289907,1,13,7,1,-1,1,1,4,0,0,NULL,NULL,1052799593636806050);
INSERT INTO "journal" VALUES(105,1795264912383,14289907,1,11,7,0,2,1,1,0,0,-1538659807431714037,NULL,'ADMIN_PASSWORD=${secret.ox} reloadconfiguration',-8334536195125083953);
INSERT INTO "journal" VALUES(106,1795264912418,14289941,1,12,3,0,1,1,1,0,0,102,NULL,'exit 0 after 0.0 s',-7866121605581079892);
INSERT INTO "journal" VALUES(107,1795264912418,14289942,1,13,3,0,-1,1,1,4,0,0,NULL,NULL,-4348428193252021255);
INSERT INTO "journal" VALUES(108,1795264912418,14289942,1,15,3,0,-1,1,1,8,0,0,NULL,NULL,30503614840562925);
INSERT INTO "journal" VALUES(109,1795264912422,14289945,1,12,7,0,2,1,1,0,0,105,NULL,'exit 0 after 0.0 s',6943093873628642082);
INSERT INTO "journal" VALUES(110,1795264912422,14289946,1,13,7,0,-1,1,1,4,0,0,NULL,NULL,1424780536273534142);
INSERT INTO "journal" VALUES(111,1795264912422,14289946,1,15,7,0,-1,1,1,8,0,0,NULL,NULL,4814059518658911016);
INSERT INTO "journal" VALUES(112,1795264912425,14289949,1,50,NULL,NULL,-1,0,0,5,3,0,NULL,'aborted: 2 of 17 units done, 0 skipped, 0 parked, 0 failed, 2 undone, 13 not started',2221423963287675330);
INSERT INTO "journal" VALUES(113,1795264912439,14289963,1,2,NULL,NULL,-1,0,0,1,2,0,'uid=0(root) pid=10703','sbin=
from=7.10.5
old_fleet=oxserver
new_fleet=oxserver-new
redirect=http://127.0.0.1:24599
backup_cnf=/tmp/upgd-lab-upyf50_1/cnf/root1.cnf
backup_dir=/tmp/upgd-lab-upyf50_1/backup
soak=1s
settle=1s
drain=30s
away=4s
to=7.10.6
package=7.10.6-44

language = 1;
profile = "ox-appsuite";
params = {
  from = {
    type = "version";
    doc = "what the old nodes run, as /health says it: 7.10.5";
  };
  to = {
    type = "version";
    doc = "what the new nodes run: 7.10.6";
  };
  package = {
    type = "text";
    doc = "the exact package version to install: 7.10.6-44";
  };
  old_fleet = {
    type = "name";
    doc = "SERVER_NAME of the old fleet";
    default = "oxserver";
  };
  new_fleet = {
    type = "name";
    doc = "SERVER_NAME of the new fleet";
  };
  redirect = {
    type = "url";
    doc = "where users of moved schemata are sent";
  };
  sbin = {
    type = "text";
    doc = "where the command line tools are, with a slash";
    default = "/opt/open-xchange/sbin/";
  };
  reason = {
    type = "int";
    doc = "SCHEMA_MOVE_MAINTENANCE_REASON of both fleets";
    default = "1431655765";
  };
  configdb = {
    type = "name";
    doc = "name of the configuration database";
    default = "configdb";
  };
  backup_cnf = {
    type = "text";
    doc = "option file of an account that may dump it, on the host of upgd";
    default = "/etc/upgd/backup.cnf";
  };
  backup_dir = {
    type = "text";
    doc = "where the dump goes, on the host of upgd";
    default = "/var/lib/upgd/backup";
  };
  soak = {
    type = "duration";
    doc = "wait after the first node and after the first schema";
    default = "20m";
  };
  settle = {
    type = "duration";
    doc = "how long no tenant may be seen on the old fleet before main is turned over";
    default = "10m";
  };
  away = {
    type = "duration";
    doc = "how long an old node may be down for upgd and in main before it is fenced: kept out of main until its redirect is set";
    default = "2m";
  };
  drain = {
    type = "duration";
    doc = "how long sessions of a node may take to end";
    default = "10m";
  };
};
classes = [ "mixed", "empty", "half" ];
respect = "main";
sets = {
  node = {
    from = "nodes";
    probe = "version";
    class = ( 
      {
        is = "old";
        match = "^${param.from}(-|$)";
      }, 
      {
        is = "new";
        match = "^${param.to}(-|$)";
      } );
  };
  schema = {
    sql = "configdb";
    host = "host";
    weight = "tenants";
    up = "enabled";
    column = "owner";
    query = "SELECT p.db_schema AS name, p.write_db_pool_id AS host, COUNT(*) AS tenants, COALESCE(SUM(c.enabled), 0) AS enabled, CASE WHEN SUM(NOT COALESCE(c.enabled, 0) AND COALESCE(c.reason_id, 0) = ${param.reason}) > 0 THEN ''HALF'' WHEN COUNT(DISTINCT p.server_id) > 1 THEN ''MIXED'' ELSE MIN(s.name) END AS owner FROM context_server2db_pool p JOIN context c ON c.cid = p.cid JOIN server s ON s.server_id = p.server_id GROUP BY p.db_schema, p.write_db_pool_id UNION ALL SELECT d.schemaname, d.db_pool_id, 0, 0, ''EMPTY'' FROM contexts_per_dbschema d WHERE NOT EXISTS (SELECT 1 FROM context_server2db_pool q WHERE q.db_schema = d.schemaname AND q.write_db_pool_id = d.db_pool_id)";
    class = ( 
      {
        is = "old";
        match = "^${param.old_fleet}$";
      }, 
      {
        is = "new";
        match = "^${param.new_fleet}$";
      }, 
      {
        is = "mixed";
        match = "^MIXED$";
      }, 
      {
        is = "empty";
        match = "^EMPTY$";
      }, 
      {
        is = "half";
        match = "^HALF$";
      } );
  };
};
probes = {
  version = {
    http = "${node.health}/health";
    json = "/service/version";
  };
  runs_old = {
    http = "${node.health}/health";
    json = "/service/version";
    match = "^${param.from}(-|$)";
    doc = "the node runs the old version and says it is healthy";
  };
  runs_new = {
    http = "${node.health}/health";
    json = "/service/version";
    match = "^${param.to}(-|$)";
    doc = "the node runs the new version and says it is healthy";
  };
  dump_whole = {
    run = [ "tail", "-n", "1", "${param.backup_dir}/configdb-${rollout}.sql" ];
    on = "local";
    match = "^-- Dump completed";
    doc = "the dump of configdb ends as a whole dump does";
  };
  registered = {
    sql = "configdb";
    query = "SELECT server_id FROM server WHERE name = ?";
    args = [ "${param.new_fleet}" ];
    rows = 1;
    doc = "the new fleet''s name is registered";
  };
  changelog = {
    sql = "configdb";
    query = "SELECT 1 FROM DATABASECHANGELOGLOCK WHERE LOCKED";
    rows = 0;
    doc = "no changelog of configdb is running";
  };
  src = {
    sql = "configdb";
    query = "SELECT server_id FROM server WHERE name = ?";
    args = [ "${param.old_fleet}" ];
    rows = 1;
  };
  dst = {
    sql = "configdb";
    query = "SELECT server_id FROM server WHERE name = ?";
    args = [ "${param.new_fleet}" ];
    rows = 1;
  };
  pending = {
    run = [ "${param.sbin}listUpdateTasks", "-n", "${schema.name}", "-g" ];
    on = "new";
    env = [ "ADMIN_PASSWORD=${secret.ox}" ];
    column = "taskName";
  };
  excluded = {
    run = [ "${param.sbin}listUpdateTasks", "-n", "${schema.name}", "-x" ];
    on = "new";
    env = [ "ADMIN_PASSWORD=${secret.ox}" ];
    column = "taskName";
  };
  was_off = {
    sql = "configdb";
    query = "SELECT c.cid FROM context c JOIN context_server2db_pool p ON p.cid = c.cid WHERE p.db_schema = ? AND p.write_db_pool_id = ? AND NOT COALESCE(c.enabled, 0)";
    args = [ "${schema.name}", "${schema.host}" ];
  };
  reason_free = {
    sql = "configdb";
    query = "SELECT c.cid FROM context c JOIN context_server2db_pool p ON p.cid = c.cid WHERE p.db_schema = ? AND p.write_db_pool_id = ? AND NOT COALESCE(c.enabled, 0) AND c.reason_id = ?";
    args = [ "${schema.name}", "${schema.host}", "${param.reason}" ];
    rows = 0;
    doc = "no context of the schema is disabled with the maintenance reason already";
  };
  none_enabled = {
    sql = "configdb";
    query = "SELECT c.cid FROM context c JOIN context_server2db_pool p ON p.cid = c.cid WHERE p.db_schema = ? AND p.write_db_pool_id = ? AND c.enabled";
    args = [ "${schema.name}", "${schema.host}" ];
    rows = 0;
    doc = "no context of the schema is enabled";
  };
  off_is_ours = {
    sql = "configdb";
    query = "SELECT c.cid FROM context c JOIN context_server2db_pool p ON p.cid = c.cid WHERE p.db_schema = ? AND p.write_db_pool_id = ? AND NOT COALESCE(c.enabled, 0) AND COALESCE(c.reason_id, 0) <> ?";
    args = [ "${schema.name}", "${schema.host}", "${param.reason}" ];
    subset_of = "was_off";
    doc = "every disabled context carries the maintenance reason or was disabled before";
  };
  owned_new = {
    sql = "configdb";
    query = "SELECT p.cid FROM context_server2db_pool p JOIN server s ON s.server_id = p.server_id WHERE p.db_schema = ? AND p.write_db_pool_id = ? AND s.name <> ?";
    args = [ "${schema.name}", "${schema.host}", "${param.new_fleet}" ];
    rows = 0;
    doc = "every context of the schema belongs to the new fleet";
  };
  owned_old = {
    sql = "configdb";
    query = "SELECT p.cid FROM context_server2db_pool p JOIN server s ON s.server_id = p.server_id WHERE p.db_schema = ? AND p.write_db_pool_id = ? AND s.name <> ?";
    args = [ "${schema.name}", "${schema.host}", "${param.old_fleet}" ];
    rows = 0;
    doc = "every context of the schema belongs to the old fleet";
  };
  none_left = {
    sql = "configdb";
    query = "SELECT c.cid FROM context c JOIN context_server2db_pool p ON p.cid = c.cid WHERE p.db_schema = ? AND p.write_db_pool_id = ? AND NOT COALESCE(c.enabled, 0) AND c.reason_id = ?";
    args = [ "${schema.name}", "${schema.host}", "${param.reason}" ];
    rows = 0;
    doc = "no context of the schema is left disabled by us";
  };
  unlocked = {
    sql = "host:${schema.host}";
    query = "SELECT taskName FROM `${schema.name}`.updateTask WHERE taskName IN (''LOCKED'', ''BACKGROUND'')";
    rows = 0;
    doc = "no update is running in the schema";
  };
  statements = {
    sql = "host:${schema.host}";
    query = "SELECT ID, CONCAT(USER, ''@'', HOST), INFO FROM information_schema.PROCESSLIST WHERE DB = ? AND COMMAND = ''Query'' AND INFO NOT LIKE ''SELECT%'' AND ID <> CONNECTION_ID()";
    args = [ "${schema.name}" ];
    rows = 0;
    doc = "no statement of an update still runs in the schema";
  };
  failed = {
    sql = "host:${schema.host}";
    query = "SELECT taskName FROM `${schema.name}`.updateTask WHERE NOT successful AND taskName NOT IN (''LOCKED'', ''BACKGROUND'')";
  };
  tasks_done = {
    sql = "host:${schema.host}";
    query = "SELECT taskName FROM `${schema.name}`.updateTask WHERE successful";
    contains = "tasks";
    except = [ "failed_before", "excluded" ];
    doc = "every task that was pending has run with success";
  };
  no_new_bad = {
    sql = "host:${schema.host}";
    query = "SELECT taskName FROM `${schema.name}`.updateTask WHERE NOT successful AND taskName NOT IN (''LOCKED'', ''BACKGROUND'')";
    subset_of = "failed_before";
    doc = "no task has failed that had not failed before";
  };
  counted = {
    sql = "configdb";
    query = "SELECT 1 FROM contexts_per_dbschema WHERE schemaname = ?";
    args = [ "${schema.name}" ];
    rows = 1;
    doc = "the schema is counted once in contexts_per_dbschema (mend: checkcountsconsistency)";
  };
  old_whole = {
    http = "${old.health}/health";
    json = "/checks/name=hazelcast/data/memberCount";
    equals = "${count.old.up}";
    doc = "the old fleet''s cluster has all its members";
  };
  new_whole = {
    http = "${new.health}/health";
    json = "/checks/name=hazelcast/data/memberCount";
    equals = "${count.new.up}";
    doc = "the new fleet''s cluster has all its members";
  };
  no_tenant_old = {
    sql = "configdb";
    query = "SELECT p.cid FROM context_server2db_pool p JOIN server s ON s.server_id = p.server_id JOIN context c ON c.cid = p.cid WHERE s.name = ? AND c.enabled";
    args = [ "${param.old_fleet}" ];
    rows = 0;
    doc = "no enabled context belongs to the old fleet";
  };
};
stages = ( 
  {
    name = "prepare";
    for = "cluster";
    steps = ( 
      {
        name = "freeze";
        approve = "provisioning is frozen until the end: no createcontext, on either fleet";
      }, 
      {
        name = "backup";
        takes = "2m";
        run = [ "mysqldump", "--defaults-extra-file=${param.backup_cnf}", "--single-transaction", "--result-file=${param.backup_dir}/configdb-${rollout}.sql", "--databases", "${param.configdb}" ];
        on = "local";
        resolve = "rerun";
        timeout = "1h";
        verify = [ "dump_whole" ];
        undo = "none";
      }, 
      {
        name = "register";
        takes = "5s";
        run = [ "${param.sbin}registerserver", "-n", "${param.new_fleet}" ];
        env = [ "ADMIN_PASSWORD=${secret.ox}" ];
        on = "old";
        skip_if_done = true;
        done_when = [ "registered" ];
        resolve = "probe";
        timeout = "2m";
        verify = [ "registered" ];
        undo = {
          run = [ "${param.sbin}unregisterserver", "-n", "${param.new_fleet}" ];
          env = [ "ADMIN_PASSWORD=${secret.ox}" ];
          while = ( 
            {
              what = "new.tenants";
              max = 0;
            }, 
            {
              what = "new.nodes";
              max = 0;
            } );
        };
      } );
  }, 
  {
    name = "redirect";
    for = "node";
    where = [ "old" ];
    needs = [ "prepare" ];
    limits = {
      total = 8;
    };
    fence = "main";
    away = "${param.away}";
    steps = ( 
      {
        name = "probe";
        takes = "5s";
        run = [ "${param.sbin}reloadconfiguration" ];
        env = [ "ADMIN_PASSWORD=${secret.ox}" ];
        on = "self";
        resolve = "rerun";
        timeout = "2m";
        undo = {
          run = [ "${param.sbin}reloadconfiguration" ];
          env = [ "ADMIN_PASSWORD=${secret.ox}" ];
        };
      }, 
      {
        name = "set";
        edit = "${node.etc}/server.properties";
        line = "com.openexchange.server.migrationRedirectURL=";
        to = "${param.redirect}";
        on = "self";
        resolve = "rerun";
        undo = {
          restore = true;
          while = ( 
            {
              what = "new.tenants";
              max = 0;
            } );
        };
      }, 
      {
        name = "reload";
        takes = "5s";
        run = [ "${param.sbin}reloadconfiguration" ];
        env = [ "ADMIN_PASSWORD=${secret.ox}" ];
        on = "self";
        resolve = "rerun";
        timeout = "2m";
        undo = "none";
      }, 
      {
        name = "admit";
        server = "main";
        want = "ready";
        when = "fenced";
        undo = "none";
      } );
  }, 
  {
    name = "convert";
    for = "node";
    where = [ "old" ];
    needs = [ "redirect" ];
    canary = 1;
    soak = "${param.soak}";
    limits = {
      total = 1;
    };
    keep = ( 
      {
        what = "main.ready";
        min = 1;
      }, 
      {
        what = "old.nodes";
        min = 1;
        only = "old.tenants";
      }, 
      {
        what = "old.capacity";
        min = "old.tenants";
      } );
    steps = ( 
      {
        name = "first-boot";
        approve = "the first new node migrates configdb under the whole old fleet: one way";
      }, 
      {
        name = "drain";
        server = "main";
        want = "drain";
        idle = "${param.drain}";
        then = "next";
        undo = {
          restore = true;
        };
      }, 
      {
        name = "quiet";
        server = "main";
        want = "maint";
        idle = "30s";
        then = "shutdown";
        undo = {
          restore = true;
        };
      }, 
      {
        name = "stop";
        takes = "30s";
        run = [ "systemctl", "stop", "open-xchange" ];
        on = "self";
        resolve = "rerun";
        timeout = "5m";
        undo = {
          run = [ "systemctl", "start", "open-xchange" ];
          verify = [ "runs_old" ];
        };
        within = "10m";
      }, 
      {
        name = "install";
        takes = "3m";
        run = [ "apt-get", "install", "-y", "--allow-downgrades", "-o", "Dpkg::Options::=--force-confold", "open-xchange=${param.package}" ];
        env = [ "DEBIAN_FRONTEND=noninteractive" ];
        on = "self";
        resolve = "rerun";
        timeout = "30m";
        pivot = true;
      }, 
      {
        name = "name";
        edit = "${node.etc}/system.properties";
        line = "SERVER_NAME=";
        to = "${param.new_fleet}";
        on = "self";
        resolve = "rerun";
      }, 
      {
        name = "clear";
        edit = "${node.etc}/server.properties";
        line = "com.openexchange.server.migrationRedirectURL=";
        to = "";
        on = "self";
        resolve = "rerun";
      }, 
      {
        name = "no-push";
        edit = "${node.etc}/server.properties";
        line = "com.openexchange.push.allowPermanentPush=";
        to = "false";
        on = "self";
        resolve = "rerun";
      }, 
      {
        name = "no-update";
        edit = "${node.etc}/server.properties";
        line = "com.openexchange.groupware.update.denyImplicitUpdateOnContextLoad=";
        to = "true";
        on = "self";
        resolve = "rerun";
      }, 
      {
        name = "reason";
        edit = "${node.etc}/plugin/hosting.properties";
        line = "SCHEMA_MOVE_MAINTENANCE_REASON=";
        to = "${param.reason}";
        on = "self";
        resolve = "rerun";
      }, 
      {
        name = "start";
        takes = "2m";
        run = [ "systemctl", "start", "open-xchange" ];
        on = "self";
        resolve = "rerun";
        timeout = "10m";
        verify = [ "runs_new", "changelog" ];
        within = "15m";
      }, 
      {
        name = "join";
        server = "secondary";
        want = "ready";
      } );
  }, 
  {
    name = "migrate";
    for = "schema";
    where = [ "old", "mixed", "empty", "half" ];
    again = true;
    needs = [ "redirect" ];
    order = "longest";
    canary = 1;
    soak = "${param.soak}";
    limits = {
      total = 4;
      per_host = 2;
    };
    keep = ( 
      {
        what = "secondary.ready";
        min = 1;
      }, 
      {
        what = "new.capacity";
        min = "new.tenants";
        over = "one";
      } );
    before = [ "unlocked", "counted", "reason_free", "old_whole", "new_whole" ];
    steps = ( 
      {
        name = "ask";
        capture = ( 
          {
            name = "tasks";
            probe = "pending";
          }, 
          {
            name = "excluded";
            probe = "excluded";
          } );
      }, 
      {
        name = "base";
        capture = ( 
          {
            name = "was_off";
            probe = "was_off";
          }, 
          {
            name = "failed_before";
            probe = "failed";
          }, 
          {
            name = "src";
            probe = "src";
          }, 
          {
            name = "dst";
            probe = "dst";
          } );
      }, 
      {
        name = "disable";
        takes = "5s";
        run = [ "${param.sbin}disableschema", "-m", "${schema.name}" ];
        env = [ "ADMIN_PASSWORD=${secret.ox}" ];
        on = "old";
        when = "tenants";
        window = "open";
        resolve = "rerun";
        retry = 2;
        timeout = "5m";
        verify = [ "none_enabled", "off_is_ours" ];
        undo = {
          run = [ "${param.sbin}enableschema", "-m", "${schema.name}" ];
          env = [ "ADMIN_PASSWORD=${secret.ox}" ];
          verify = [ "none_left" ];
        };
      }, 
      {
        name = "repoint";
        takes = "5s";
        run = [ "${param.sbin}changeserver", "-m", "${schema.name}", "-s", "${capture.dst}" ];
        env = [ "ADMIN_PASSWORD=${secret.ox}" ];
        on = "old";
        when = "tenants";
        resolve = "probe";
        done_when = [ "owned_new" ];
        retry = 1;
        timeout = "5m";
        verify = [ "owned_new" ];
        undo = {
          run = [ "${param.sbin}changeserver", "-m", "${schema.name}", "-s", "${capture.src}" ];
          env = [ "ADMIN_PASSWORD=${secret.ox}" ];
          verify = [ "owned_old" ];
        };
      }, 
      {
        name = "update";
        takes = "30s";
        run = [ "${param.sbin}runupdate", "-n", "${schema.name}" ];
        env = [ "ADMIN_PASSWORD=${secret.ox}" ];
        on = "new";
        resolve = "attach";
        orphans = "statements";
        pivot = true;
        timeout = "4h";
        verify = [ "unlocked", "no_new_bad", "tasks_done" ];
        on_failure = "hold";
      }, 
      {
        name = "enable";
        takes = "5s";
        run = [ "${param.sbin}enableschema", "-m", "${schema.name}" ];
        env = [ "ADMIN_PASSWORD=${secret.ox}" ];
        on = [ "new", "old" ];
        when = "tenants";
        window = "close";
        resolve = "rerun";
        retry = 3;
        timeout = "5m";
        verify = [ "owned_new", "none_left" ];
      } );
  }, 
  {
    name = "sweep";
    for = "cluster";
    after = [ "migrate" ];
    keep = ( 
      {
        what = "old.tenants";
        max = 0;
      } );
    steps = ( 
      {
        name = "settle";
        wait = "${param.settle}";
      }, 
      {
        name = "look";
        verify = [ "no_tenant_old" ];
      } );
  }, 
  {
    name = "flip";
    for = "node";
    needs = [ "sweep" ];
    same = [ "convert" ];
    limits = {
      total = 2;
    };
    steps = ( 
      {
        name = "main";
        server = "main";
        want = "ready";
        undo = "none";
      }, 
      {
        name = "stay";
        server = "secondary";
        want = "ready";
        undo = "none";
      } );
  }, 
  {
    name = "settle";
    for = "node";
    after = [ "flip" ];
    same = [ "convert" ];
    limits = {
      total = 4;
    };
    steps = ( 
      {
        name = "push";
        edit = "${node.etc}/server.properties";
        line = "com.openexchange.push.allowPermanentPush=";
        to = "true";
        on = "self";
        resolve = "rerun";
        undo = "none";
      }, 
      {
        name = "update";
        edit = "${node.etc}/server.properties";
        line = "com.openexchange.groupware.update.denyImplicitUpdateOnContextLoad=";
        to = "false";
        on = "self";
        resolve = "rerun";
        undo = "none";
      }, 
      {
        name = "reload";
        takes = "5s";
        run = [ "${param.sbin}reloadconfiguration" ];
        env = [ "ADMIN_PASSWORD=${secret.ox}" ];
        on = "self";
        resolve = "rerun";
        timeout = "2m";
        verify = [ "runs_new" ];
        undo = "none";
      } );
  }, 
  {
    name = "close";
    for = "cluster";
    after = [ "settle", "convert" ];
    keep = ( 
      {
        what = "old.tenants";
        max = 0;
      } );
    steps = ( 
      {
        name = "last-look";
        verify = [ "no_tenant_old", "changelog" ];
      } );
  } );
',-4649887897548231259);
INSERT INTO "journal" VALUES(114,1795264912439,14289963,1,3,0,0,-1,0,0,0,0,0,NULL,'name=cluster
',-5729568296167914546);
INSERT INTO "journal" VALUES(115,1795264912439,14289963,1,3,1,1,0,0,0,2,1,16,NULL,'name=ox1
host=127.0.0.1
health=http://127.0.0.1:28880
capacity=16
etc=/tmp/upgd-lab-upyf50_1/nodes/ox1/etc
',-4138348858011729446);
INSERT INTO "journal" VALUES(116,1795264912439,14289963,1,3,2,1,0,0,0,1,1,16,NULL,'name=ox2
host=127.0.0.1
health=http://127.0.0.1:28944
capacity=16
etc=/tmp/upgd-lab-upyf50_1/nodes/ox2/etc
',1025900958322970447);
INSERT INTO "journal" VALUES(117,1795264912439,14289963,1,3,3,2,1,0,0,1,2,0,NULL,'name=oxdatabase_1
host=3
tenants=2
enabled=1
owner=oxserver
',-6583445458735680135);
INSERT INTO "journal" VALUES(118,1795264912439,14289963,1,3,4,2,2,0,0,1,2,0,NULL,'name=oxdatabase_2
host=5
tenants=2
enabled=2
owner=oxserver
',-22170705091351525);
INSERT INTO "journal" VALUES(119,1795264912439,14289963,1,3,5,2,1,0,0,1,5,0,NULL,'name=oxdatabase_3
host=3
tenants=5
enabled=5
owner=oxserver
',-6251787109571990244);
INSERT INTO "journal" VALUES(120,1795264912439,14289963,1,3,6,2,1,0,0,1,2,0,NULL,'name=oxdatabase_6
host=4
tenants=2
enabled=1
owner=oxserver
',-188325919722219188);
INSERT INTO "journal" VALUES(121,1795264912439,14289963,1,3,7,2,2,0,0,1,5,0,NULL,'name=oxdatabase_archive
host=5
tenants=5
enabled=4
owner=oxserver
',-1992408988886629439);
INSERT INTO "journal" VALUES(122,1795264912439,14289963,1,3,8,2,1,0,0,4,0,0,NULL,'name=oxdatabase_5
host=3
tenants=0
enabled=0
owner=EMPTY
',9016313519452791247);
INSERT INTO "journal" VALUES(123,1795264912439,14289963,1,5,NULL,NULL,-1,0,0,0,0,0,NULL,NULL,6054601414244324274);
INSERT INTO "journal" VALUES(124,1795264912439,14289963,1,30,NULL,0,1,0,0,3,0,0,NULL,NULL,-2863612714097644942);
INSERT INTO "journal" VALUES(125,1795264912439,14289963,1,30,NULL,1,1,0,0,1,0,0,NULL,NULL,1494127547139610146);
INSERT INTO "journal" VALUES(126,1795264912439,14289963,1,41,NULL,NULL,-1,0,0,0,0,-1416525527146479980,'uid=0(root) pid=10703','dfc433d3db37d7ad29db93cd6c7cb2ec',5760273243995668128);
INSERT INTO "journal" VALUES(127,1795264912439,14289963,1,10,0,0,-1,0,1,0,0,0,NULL,'under way 1 of 1, tenants down 0',483805698837160374);
INSERT INTO "journal" VALUES(128,1795264912439,14289963,1,13,0,0,-1,0,1,3,0,0,NULL,'approved at start',7648229692854998466);
INSERT INTO "journal" VALUES(129,1795264912439,14289963,1,11,0,1,-2,0,1,0,0,1160455106321642852,NULL,'mysqldump --defaults-extra-file=/tmp/upgd-lab-upyf50_1/cnf/root1.cnf --single-transaction --result-file=/tmp/upgd-lab-upyf50_1/backup/configdb-2.sql --databases configdb',-4800232385581447257);
INSERT INTO "journal" VALUES(130,1795264912442,14289966,1,33,NULL,0,1,0,0,0,1795264905,10274,NULL,'process 2 of main is pid 10274',-5582086104089803147);
INSERT INTO "journal" VALUES(131,1795264912442,14289966,1,33,NULL,0,0,0,0,0,1795264905,10267,NULL,'process 1 of main is pid 10267',2150407692109277280);
INSERT INTO "journal" VALUES(132,1795264912442,14289966,1,33,NULL,1,0,0,0,0,1795264905,10278,NULL,'process 1 of secondary is pid 10278',9089670390127224798);
INSERT INTO "journal" VALUES(133,1795264912470,14289994,1,12,0,1,-2,0,1,0,0,129,NULL,'exit 0 after 0.0 s',8329148193931325030);
INSERT INTO "journal" VALUES(134,1795264912479,14290002,1,13,0,1,-1,0,1,0,0,0,NULL,'dump_whole: "-- Dump completed on 2026-11-21 12:41:52", expected to match ^-- Dump completed',2199720745217054236);
INSERT INTO "journal" VALUES(135,1795264912480,14290003,1,13,0,2,-1,0,1,2,0,0,NULL,'registered: 1 row, expected 1',-587313727531489036);
INSERT INTO "journal" VALUES(136,1795264912480,14290003,1,15,0,3,-1,0,1,3,0,0,NULL,NULL,4622406071940803238);
INSERT INTO "journal" VALUES(137,1795264912480,14290003,1,10,7,0,-1,0,1,0,1,0,NULL,'under way 1 of 8, tenants down 0',-3060002382028405313);
INSERT INTO "journal" VALUES(138,1795264912480,14290003,1,11,7,0,2,0,1,0,0,-1538659807431714037,NULL,'ADMIN_PASSWORD=${secret.ox} reloadconfiguration',-5016829219057589939);
INSERT INTO "journal" VALUES(139,1795264912517,14290041,1,12,7,0,2,0,1,0,0,138,NULL,'exit 0 after 0.0 s',5554862284538498867);
INSERT INTO "journal" VALUES(140,1795264912518,14290042,1,13,7,0,-1,0,1,0,0,0,NULL,NULL,-830499254247285240);
INSERT INTO "journal" VALUES(141,1795264912519,14290043,1,14,7,1,-1,0,1,0,0,0,NULL,'{"baseline":{"set":"com.openexchange.server.migrationRedirectURL="}}',5512868348321247948);
INSERT INTO "journal" VALUES(142,1795264912519,14290043,1,11,7,1,2,0,1,0,0,1956255496205975993,NULL,'edit /tmp/upgd-lab-upyf50_1/nodes/ox2/etc/server.properties: com.openexchange.server.migrationRedirectURL=http://127.0.0.1:24599',6746998629846042413);
INSERT INTO "journal" VALUES(143,1795264912522,14290046,1,12,7,1,2,0,1,0,0,142,NULL,'exit 0 after 0.0 s',-2053430534736767815);
INSERT INTO "journal" VALUES(144,1795264912522,14290046,1,13,7,1,-1,0,1,0,0,0,NULL,NULL,-6018858646881876173);
INSERT INTO "journal" VALUES(145,1795264912522,14290046,1,11,7,2,2,0,1,0,0,-1538659807431714037,NULL,'ADMIN_PASSWORD=${secret.ox} reloadconfiguration',-5793245825602913397);
INSERT INTO "journal" VALUES(146,1795264912560,14290084,1,12,7,2,2,0,1,0,0,145,NULL,'exit 0 after 0.0 s',-1327887107181573);
INSERT INTO "journal" VALUES(147,1795264912561,14290085,1,13,7,2,-1,0,1,0,0,0,NULL,NULL,2235967860593994813);
INSERT INTO "journal" VALUES(148,1795264912561,14290085,1,15,7,3,-1,0,1,3,0,0,NULL,NULL,-3438195457872177503);
INSERT INTO "journal" VALUES(149,1795264912572,14290095,1,10,12,0,-1,0,1,0,2,0,NULL,'under way 1 of 4, tenants down 0',8692639585726229286);
INSERT INTO "journal" VALUES(150,1795264912599,14290122,2,4,NULL,NULL,-1,0,0,0,0,0,NULL,NULL,-7173203734760895700);
INSERT INTO "journal" VALUES(151,1795264912611,14290134,2,23,NULL,NULL,-1,0,0,0,0,0,'uid=0(root) pid=10735','a look',807012244754688055);
INSERT INTO "journal" VALUES(152,1795264912611,14290134,2,41,NULL,NULL,-1,0,0,0,0,-8951025862517215874,'uid=0(root) pid=10735','2c330c6f7e6a5fea69c6bdfaa7699292',1509876131360833924);
INSERT INTO "journal" VALUES(153,1795264912613,14290137,2,24,NULL,NULL,-1,0,0,0,0,0,'uid=0(root) pid=10736',NULL,3851603873360515907);
INSERT INTO "journal" VALUES(154,1795264912613,14290137,2,41,NULL,NULL,-1,0,0,0,0,-7633826336946279373,'uid=0(root) pid=10736','da68079a17efa508491ecb4acc9c1969',2542764562569634267);
INSERT INTO "journal" VALUES(155,1795264912681,14290205,2,14,12,0,-1,0,1,0,5,0,NULL,'{"tasks":{"rows":[["com.openexchange.groupware.update.tasks.AddSharedParentFolderTask"],["com.openexchange.groupware.update.tasks.CalendarEventAddRDateTask"],["com.openexchange.groupware.update.tasks.ConvertUtf8ToUtf8mb4Task"],["com.openexchange.groupware.update.tasks.MailAccountOAuthTask"],["com.openexchange.groupware.update.tasks.SubscriptionsCreatedTask"]]},"excluded":{"rows":[]}}',-5331446123587543115);
INSERT INTO "journal" VALUES(156,1795264912681,14290205,2,13,12,0,-1,0,1,0,0,0,NULL,NULL,-1829979908429196601);
INSERT INTO "journal" VALUES(157,1795264912683,14290207,2,14,12,1,-1,0,1,0,2,0,NULL,'{"was_off":{"rows":[]},"failed_before":{"rows":[]},"src":{"rows":[["6"]]},"dst":{"rows":[["107"]]}}',-4758034323673582829);
INSERT INTO "journal" VALUES(158,1795264912684,14290207,2,13,12,1,-1,0,1,0,0,0,NULL,NULL,-1242123182075062123);
INSERT INTO "journal" VALUES(159,1795264912684,14290207,2,11,12,2,2,0,1,0,0,-6720866471365445836,NULL,'ADMIN_PASSWORD=${secret.ox} disableschema -m oxdatabase_2',-7717540631314876802);
INSERT INTO "journal" VALUES(160,1795264912724,14290248,2,12,12,2,2,0,1,0,0,159,NULL,'exit 0 after 0.0 s',-1420081598720717245);
INSERT INTO "journal" VALUES(161,1795264912725,14290249,2,13,12,2,-1,0,1,0,0,0,NULL,'off_is_ours: 0 rows, as captured in was_off',-750131808431613556);
INSERT INTO "journal" VALUES(162,1795264912725,14290249,2,11,12,3,2,0,1,0,0,4287602618489949174,NULL,'ADMIN_PASSWORD=${secret.ox} changeserver -m oxdatabase_2 -s 107',-4348504321654540334);
INSERT INTO "journal" VALUES(163,1795264912732,14290255,2,12,12,3,2,0,1,1,106,162,NULL,'exit 106',6742263142494669988);
INSERT INTO "journal" VALUES(164,1795264912732,14290255,2,16,12,3,-1,0,1,0,0,0,NULL,'exit 106',-7924069848409484184);
INSERT INTO "journal" VALUES(165,1795264913733,14291256,2,11,12,3,2,0,2,0,0,4287602618489949174,NULL,'ADMIN_PASSWORD=${secret.ox} changeserver -m oxdatabase_2 -s 107',952217771174758829);
INSERT INTO "journal" VALUES(166,1795264913775,14291299,2,12,12,3,2,0,2,0,0,165,NULL,'exit 0 after 0.0 s
Successfully changed to server ''107'' for schema ''oxdatabase_2''.
',-2053524875568907107);
INSERT INTO "journal" VALUES(167,1795264913777,14291301,2,13,12,3,-1,0,2,0,0,0,NULL,'owned_new: 0 rows, expected 0',-7898036538320629142);
INSERT INTO "journal" VALUES(168,1795264913777,14291301,2,11,12,4,1,0,1,0,0,4380544856387183544,NULL,'ADMIN_PASSWORD=${secret.ox} runupdate -n oxdatabase_2',-4017501750979603735);
INSERT INTO "journal" VALUES(169,1795264914709,14292233,2,12,12,4,1,0,1,0,0,168,NULL,'exit 0 after 0.9 s',6221845124992087030);
INSERT INTO "journal" VALUES(170,1795264914711,14292234,2,13,12,4,-1,0,1,0,0,0,NULL,'tasks_done: 12 rows, as captured in tasks',-4200815604756348481);
INSERT INTO "journal" VALUES(171,1795264914711,14292234,2,11,12,5,1,0,1,0,0,1426722379731066623,NULL,'ADMIN_PASSWORD=${secret.ox} enableschema -m oxdatabase_2',4458897347684160448);
INSERT INTO "journal" VALUES(172,1795264914711,14292234,2,11,12,5,2,0,1,0,0,1426722379731066623,NULL,'ADMIN_PASSWORD=${secret.ox} enableschema -m oxdatabase_2',1661117130095053643);
INSERT INTO "journal" VALUES(173,1795264914752,14292276,2,12,12,5,1,0,1,0,0,171,NULL,'exit 0 after 0.0 s',-7493126474501123269);
INSERT INTO "journal" VALUES(174,1795264914752,14292276,2,12,12,5,2,0,1,0,0,172,NULL,'exit 0 after 0.0 s',6754399292584085724);
INSERT INTO "journal" VALUES(175,1795264914754,14292277,2,13,12,5,-1,0,1,0,0,0,NULL,'none_left: 0 rows, expected 0',-1198819750319021594);
INSERT INTO "journal" VALUES(176,1795264914754,14292277,2,15,12,6,-1,0,1,3,0,0,NULL,NULL,1200859653793856755);
INSERT INTO "journal" VALUES(177,1795264915763,14293287,2,10,15,0,-1,0,1,0,5,0,NULL,'under way 1 of 4, tenants down 0',5308760681522694721);
INSERT INTO "journal" VALUES(178,1795264915764,14293287,2,10,14,0,-1,0,1,0,2,0,NULL,'under way 2 of 4, tenants down 0',1413984680570813639);
INSERT INTO "journal" VALUES(179,1795264915766,14293290,2,10,13,0,-1,0,1,0,5,0,NULL,'under way 3 of 4, tenants down 0',-5152162555399214429);
INSERT INTO "journal" VALUES(180,1795264915849,14293372,2,14,15,0,-1,0,1,0,5,0,NULL,'{"tasks":{"rows":[["com.openexchange.groupware.update.tasks.AddSharedParentFolderTask"],["com.openexchange.groupware.update.tasks.CalendarEventAddRDateTask"],["com.openexchange.groupware.update.tasks.ConvertUtf8ToUtf8mb4Task"],["com.openexchange.groupware.update.tasks.MailAccountOAuthTask"],["com.openexchange.groupware.update.tasks.SubscriptionsCreatedTask"]]},"excluded":{"rows":[]}}',2482889140652710951);
INSERT INTO "journal" VALUES(181,1795264915850,14293373,2,13,15,0,-1,0,1,0,0,0,NULL,NULL,5608887780675002615);
INSERT INTO "journal" VALUES(182,1795264915852,14293375,2,14,15,1,-1,0,1,0,3,0,NULL,'{"was_off":{"rows":[["11"]]},"failed_before":{"rows":[]},"src":{"rows":[["6"]]},"dst":{"rows":[["107"]]}}',5727202652249798942);
INSERT INTO "journal" VALUES(183,1795264915852,14293376,2,13,15,1,-1,0,1,0,0,0,NULL,NULL,5735934512440405748);
INSERT INTO "journal" VALUES(184,1795264915852,14293376,2,11,15,2,2,0,1,0,0,-306776082866741108,NULL,'ADMIN_PASSWORD=${secret.ox} disableschema -m oxdatabase_archive',4207309159354519712);
INSERT INTO "journal" VALUES(185,1795264915865,14293389,2,14,13,0,-1,0,1,0,6,0,NULL,'{"tasks":{"rows":[["com.openexchange.groupware.update.tasks.AddSnippetAttachmentsTask"],["com.openexchange.groupware.update.tasks.AddSharedParentFolderTask"],["com.openexchange.groupware.update.tasks.CalendarEventAddRDateTask"],["com.openexchange.groupware.update.tasks.ConvertUtf8ToUtf8mb4Task"],["com.openexchange.groupware.update.tasks.MailAccountOAuthTask"],["com.openexchange.groupware.update.tasks.SubscriptionsCreatedTask"]]},"excluded":{"rows":[]}}',-7455565437899120505);
INSERT INTO "journal" VALUES(186,1795264915866,14293390,2,13,13,0,-1,0,1,0,0,0,NULL,NULL,-8299351077121863970);
INSERT INTO "journal" VALUES(187,1795264915868,14293392,2,14,14,0,-1,0,1,0,5,0,NULL,'{"tasks":{"rows":[["com.openexchange.groupware.update.tasks.AddSharedParentFolderTask"],["com.openexchange.groupware.update.tasks.CalendarEventAddRDateTask"],["com.openexchange.groupware.update.tasks.ConvertUtf8ToUtf8mb4Task"],["com.openexchange.groupware.update.tasks.MailAccountOAuthTask"],["com.openexchange.groupware.update.tasks.SubscriptionsCreatedTask"]]},"excluded":{"rows":[]}}',-5504294352586016763);
INSERT INTO "journal" VALUES(188,1795264915869,14293393,2,13,14,0,-1,0,1,0,0,0,NULL,NULL,-3681016042389046769);
INSERT INTO "journal" VALUES(189,1795264915869,14293393,2,14,13,1,-1,0,1,0,3,0,NULL,'{"was_off":{"rows":[]},"failed_before":{"rows":[["com.openexchange.groupware.update.tasks.AddSnippetAttachmentsTask"]]},"src":{"rows":[["6"]]},"dst":{"rows":[["107"]]}}',2927324463229413404);
INSERT INTO "journal" VALUES(190,1795264915870,14293394,2,13,13,1,-1,0,1,0,0,0,NULL,NULL,-6740206992980926777);
INSERT INTO "journal" VALUES(191,1795264915870,14293394,2,11,13,2,2,0,1,0,0,-6720865371853817625,NULL,'ADMIN_PASSWORD=${secret.ox} disableschema -m oxdatabase_3',2871971427583072598);
INSERT INTO "journal" VALUES(192,1795264915871,14293395,2,14,14,1,-1,0,1,0,3,0,NULL,'{"was_off":{"rows":[["16"]]},"failed_before":{"rows":[]},"src":{"rows":[["6"]]},"dst":{"rows":[["107"]]}}',2163046067013800860);
INSERT INTO "journal" VALUES(193,1795264915872,14293396,2,13,14,1,-1,0,1,0,0,0,NULL,NULL,-3104213299281922775);
INSERT INTO "journal" VALUES(194,1795264915872,14293396,2,11,14,2,2,0,1,0,0,-6720870869411958680,NULL,'ADMIN_PASSWORD=${secret.ox} disableschema -m oxdatabase_6',-1491491479337751259);
INSERT INTO "journal" VALUES(195,1795264915903,14293427,2,12,15,2,2,0,1,0,0,184,NULL,'exit 0 after 0.0 s',-6555999032074505070);
INSERT INTO "journal" VALUES(196,1795264915905,14293428,2,13,15,2,-1,0,1,0,0,0,NULL,'off_is_ours: 1 row, as captured in was_off',-2289621930713835956);
INSERT INTO "journal" VALUES(197,1795264915905,14293428,2,11,15,3,2,0,1,0,0,-8058699993332332258,NULL,'ADMIN_PASSWORD=${secret.ox} changeserver -m oxdatabase_archive -s 107',-5968091018608669058);
INSERT INTO "journal" VALUES(198,1795264915916,14293440,2,12,13,2,2,0,1,0,0,191,NULL,'exit 0 after 0.0 s',4238485252918202846);
INSERT INTO "journal" VALUES(199,1795264915918,14293441,2,13,13,2,-1,0,1,0,0,0,NULL,'off_is_ours: 0 rows, as captured in was_off',1317181584038540623);
INSERT INTO "journal" VALUES(200,1795264915918,14293441,2,11,13,3,2,0,1,0,0,-5260756299156858869,NULL,'ADMIN_PASSWORD=${secret.ox} changeserver -m oxdatabase_3 -s 107',-456753871451185155);
INSERT INTO "journal" VALUES(201,1795264915920,14293443,2,12,14,2,2,0,1,0,0,194,NULL,'exit 0 after 0.0 s',-4899594313239557923);
INSERT INTO "journal" VALUES(202,1795264915923,14293446,2,13,14,2,-1,0,1,0,0,0,NULL,'off_is_ours: 1 row, as captured in was_off',-4497020444280916014);
INSERT INTO "journal" VALUES(203,1795264915923,14293446,2,11,14,3,2,0,1,0,0,2962125903340336938,NULL,'ADMIN_PASSWORD=${secret.ox} changeserver -m oxdatabase_6 -s 107',-8915536790170595635);
INSERT INTO "journal" VALUES(204,1795264915959,14293483,2,12,15,3,2,0,1,0,0,197,NULL,'exit 0 after 0.0 s
Successfully changed to server ''107'' for schema ''oxdatabase_archive''.
',1473671956217939394);
INSERT INTO "journal" VALUES(205,1795264915961,14293485,2,13,15,3,-1,0,1,0,0,0,NULL,'owned_new: 0 rows, expected 0',718349341028804872);
INSERT INTO "journal" VALUES(206,1795264915961,14293485,2,11,15,4,1,0,1,0,0,-1589624168190832768,NULL,'ADMIN_PASSWORD=${secret.ox} runupdate -n oxdatabase_archive',4370925699446305256);
INSERT INTO "journal" VALUES(207,1795264915964,14293488,2,12,13,3,2,0,1,0,0,200,NULL,'exit 0 after 0.0 s
Successfully changed to server ''107'' for schema ''oxdatabase_3''.
',-4288557351450833456);
INSERT INTO "journal" VALUES(208,1795264915966,14293489,2,13,13,3,-1,0,1,0,0,0,NULL,'owned_new: 0 rows, expected 0',8433189823709607430);
INSERT INTO "journal" VALUES(209,1795264915966,14293489,2,11,13,4,1,0,1,0,0,4380545955898811755,NULL,'ADMIN_PASSWORD=${secret.ox} runupdate -n oxdatabase_3',-3233620520443054445);
INSERT INTO "journal" VALUES(210,1795264915981,14293505,2,12,14,3,2,0,1,0,0,203,NULL,'exit 0 after 0.0 s
Successfully changed to server ''107'' for schema ''oxdatabase_6''.
',4237192842771972741);
INSERT INTO "journal" VALUES(211,1795264915985,14293508,2,13,14,3,-1,0,1,0,0,0,NULL,'owned_new: 0 rows, expected 0',-2174489505314926164);
INSERT INTO "journal" VALUES(212,1795264915985,14293508,2,11,14,4,1,0,1,0,0,4380549254433696388,NULL,'ADMIN_PASSWORD=${secret.ox} runupdate -n oxdatabase_6',2926020149150551);
INSERT INTO "journal" VALUES(213,1795264916968,14294492,2,12,13,4,1,0,1,0,0,209,NULL,'exit 0 after 1.0 s',7534948272123889980);
INSERT INTO "journal" VALUES(214,1795264916969,14294493,2,12,15,4,1,0,1,0,0,206,NULL,'exit 0 after 1.0 s',28929892689168312);
INSERT INTO "journal" VALUES(215,1795264916970,14294493,2,13,13,4,-1,0,1,0,0,0,NULL,'tasks_done: 11 rows, as captured in tasks',7892156394782697746);
INSERT INTO "journal" VALUES(216,1795264916970,14294493,2,11,13,5,1,0,1,0,0,1426721280219438412,NULL,'ADMIN_PASSWORD=${secret.ox} enableschema -m oxdatabase_3',-3189401856325186348);
INSERT INTO "journal" VALUES(217,1795264916970,14294493,2,11,13,5,2,0,1,0,0,1426721280219438412,NULL,'ADMIN_PASSWORD=${secret.ox} enableschema -m oxdatabase_3',-2517944828855543793);
INSERT INTO "journal" VALUES(218,1795264916978,14294502,2,13,15,4,-1,0,1,0,0,0,NULL,'tasks_done: 12 rows, as captured in tasks',-7201155413571148624);
INSERT INTO "journal" VALUES(219,1795264916978,14294502,2,11,15,5,1,0,1,0,0,-2364129449657120297,NULL,'ADMIN_PASSWORD=${secret.ox} enableschema -m oxdatabase_archive',-1107185903909798644);
INSERT INTO "journal" VALUES(220,1795264916978,14294502,2,11,15,5,2,0,1,0,0,-2364129449657120297,NULL,'ADMIN_PASSWORD=${secret.ox} enableschema -m oxdatabase_archive',-7466901446903902946);
INSERT INTO "journal" VALUES(221,1795264917022,14294546,2,12,13,5,2,0,1,0,0,217,NULL,'exit 0 after 0.0 s',6179509030347658609);
INSERT INTO "journal" VALUES(222,1795264917026,14294549,2,12,13,5,1,0,1,0,0,216,NULL,'exit 0 after 0.0 s',7705987975815024988);
INSERT INTO "journal" VALUES(223,1795264917027,14294551,2,13,13,5,-1,0,1,0,0,0,NULL,'none_left: 0 rows, expected 0',5823711540432635516);
INSERT INTO "journal" VALUES(224,1795264917027,14294551,2,15,13,6,-1,0,1,3,0,0,NULL,NULL,-8926083777519693639);
INSERT INTO "journal" VALUES(225,1795264917030,14294554,2,12,14,4,1,0,1,0,0,212,NULL,'exit 0 after 1.0 s',3394558706971618124);
INSERT INTO "journal" VALUES(226,1795264917033,14294556,2,13,14,4,-1,0,1,0,0,0,NULL,'tasks_done: 12 rows, as captured in tasks',-4579463198491913664);
INSERT INTO "journal" VALUES(227,1795264917033,14294556,2,11,14,5,1,0,1,0,0,1426717981684553779,NULL,'ADMIN_PASSWORD=${secret.ox} enableschema -m oxdatabase_6',-3291460148946719565);
INSERT INTO "journal" VALUES(228,1795264917033,14294556,2,11,14,5,2,0,1,0,0,1426717981684553779,NULL,'ADMIN_PASSWORD=${secret.ox} enableschema -m oxdatabase_6',-4533865552720813672);
INSERT INTO "journal" VALUES(229,1795264917033,14294557,2,12,15,5,2,0,1,0,0,220,NULL,'exit 0 after 0.0 s',-7962566881664720491);
INSERT INTO "journal" VALUES(230,1795264917033,14294557,2,10,11,0,-1,0,1,0,2,0,NULL,'under way 3 of 4, tenants down 7',-543560467788490356);
INSERT INTO "journal" VALUES(231,1795264917036,14294560,2,12,15,5,1,0,1,0,0,219,NULL,'exit 0 after 0.0 s',-3308563409272691919);
INSERT INTO "journal" VALUES(232,1795264917045,14294569,2,13,15,5,-1,0,1,0,0,0,NULL,'none_left: 0 rows, expected 0',989586486021781590);
INSERT INTO "journal" VALUES(233,1795264917045,14294569,2,15,15,6,-1,0,1,3,0,0,NULL,NULL,-7095433342421052842);
INSERT INTO "journal" VALUES(234,1795264917085,14294609,2,12,14,5,1,0,1,0,0,227,NULL,'exit 0 after 0.0 s',-8465415444423436929);
INSERT INTO "journal" VALUES(235,1795264917090,14294613,2,12,14,5,2,0,1,0,0,228,NULL,'exit 0 after 0.0 s',-1260740519203400371);
INSERT INTO "journal" VALUES(236,1795264917092,14294616,2,13,14,5,-1,0,1,0,0,0,NULL,'none_left: 0 rows, expected 0',-6815927704476722696);
INSERT INTO "journal" VALUES(237,1795264917092,14294616,2,15,14,6,-1,0,1,3,0,0,NULL,NULL,-4990075093480592939);
INSERT INTO "journal" VALUES(238,1795264917102,14294626,2,10,16,0,-1,0,1,0,0,0,NULL,'under way 2 of 4, tenants down 0',-5016820647993821652);
INSERT INTO "journal" VALUES(239,1795264917178,14294702,2,14,11,0,-1,0,1,0,5,0,NULL,'{"tasks":{"rows":[["com.openexchange.groupware.update.tasks.AddSharedParentFolderTask"],["com.openexchange.groupware.update.tasks.CalendarEventAddRDateTask"],["com.openexchange.groupware.update.tasks.ConvertUtf8ToUtf8mb4Task"],["com.openexchange.groupware.update.tasks.MailAccountOAuthTask"],["com.openexchange.groupware.update.tasks.SubscriptionsCreatedTask"]]},"excluded":{"rows":[]}}',7595162531471825835);
INSERT INTO "journal" VALUES(240,1795264917179,14294703,2,13,11,0,-1,0,1,0,0,0,NULL,NULL,-3102838833592607178);
INSERT INTO "journal" VALUES(241,1795264917183,14294707,2,14,11,1,-1,0,1,0,3,0,NULL,'{"was_off":{"rows":[["2"]]},"failed_before":{"rows":[]},"src":{"rows":[["6"]]},"dst":{"rows":[["107"]]}}',1303683595168281393);
INSERT INTO "journal" VALUES(242,1795264917183,14294707,2,13,11,1,-1,0,1,0,0,0,NULL,NULL,-8806445609819131496);
INSERT INTO "journal" VALUES(243,1795264917183,14294707,2,11,11,2,2,0,1,0,0,-6720863172830561203,NULL,'ADMIN_PASSWORD=${secret.ox} disableschema -m oxdatabase_1',4635706683373909875);
INSERT INTO "journal" VALUES(244,1795264917215,14294739,2,14,16,0,-1,0,1,0,5,0,NULL,'{"tasks":{"rows":[["com.openexchange.groupware.update.tasks.AddSharedParentFolderTask"],["com.openexchange.groupware.update.tasks.CalendarEventAddRDateTask"],["com.openexchange.groupware.update.tasks.ConvertUtf8ToUtf8mb4Task"],["com.openexchange.groupware.update.tasks.MailAccountOAuthTask"],["com.openexchange.groupware.update.tasks.SubscriptionsCreatedTask"]]},"excluded":{"rows":[]}}',-388880832728263887);
INSERT INTO "journal" VALUES(245,1795264917216,14294739,2,13,16,0,-1,0,1,0,0,0,NULL,NULL,-777202443776297084);
INSERT INTO "journal" VALUES(246,1795264917218,14294741,2,14,16,1,-1,0,1,0,2,0,NULL,'{"was_off":{"rows":[]},"failed_before":{"rows":[]},"src":{"rows":[["6"]]},"dst":{"rows":[["107"]]}}',-5070301803872579974);
INSERT INTO "journal" VALUES(247,1795264917218,14294742,2,13,16,1,-1,0,1,0,0,0,NULL,NULL,-6143722516111191670);
INSERT INTO "journal" VALUES(248,1795264917218,14294742,2,13,16,2,-1,0,1,1,0,0,NULL,NULL,-4081225696577664716);
INSERT INTO "journal" VALUES(249,1795264917218,14294742,2,13,16,3,-1,0,1,1,0,0,NULL,NULL,-972689544292914365);
INSERT INTO "journal" VALUES(250,1795264917218,14294742,2,11,16,4,1,0,1,0,0,4380552552968581021,NULL,'ADMIN_PASSWORD=${secret.ox} runupdate -n oxdatabase_5',1258339292081535140);
INSERT INTO "journal" VALUES(251,1795264917226,14294749,2,12,11,2,2,0,1,0,0,243,NULL,'exit 0 after 0.0 s',8802296582011278619);
INSERT INTO "journal" VALUES(252,1795264917228,14294752,2,13,11,2,-1,0,1,0,0,0,NULL,'off_is_ours: 1 row, as captured in was_off',-7652662338466499793);
INSERT INTO "journal" VALUES(253,1795264917228,14294752,2,11,11,3,2,0,1,0,0,8062682874603242245,NULL,'ADMIN_PASSWORD=${secret.ox} changeserver -m oxdatabase_1 -s 107',904445142692867735);
INSERT INTO "journal" VALUES(254,1795264917290,14294813,2,12,11,3,2,0,1,0,0,253,NULL,'exit 0 after 0.0 s
Successfully changed to server ''107'' for schema ''oxdatabase_1''.
',-2631373689745071182);
INSERT INTO "journal" VALUES(255,1795264917291,14294815,2,13,11,3,-1,0,1,0,0,0,NULL,'owned_new: 0 rows, expected 0',-6016670923457179681);
INSERT INTO "journal" VALUES(256,1795264917291,14294815,2,11,11,4,1,0,1,0,0,4380548154922068177,NULL,'ADMIN_PASSWORD=${secret.ox} runupdate -n oxdatabase_1',8220060122453898109);
INSERT INTO "journal" VALUES(257,1795264918228,14295752,2,12,16,4,1,0,1,0,0,250,NULL,'exit 0 after 1.0 s',3464568800214560007);
INSERT INTO "journal" VALUES(258,1795264918230,14295753,2,13,16,4,-1,0,1,0,0,0,NULL,'tasks_done: 12 rows, as captured in tasks',4513828891752282227);
INSERT INTO "journal" VALUES(259,1795264918230,14295753,2,13,16,5,-1,0,1,1,0,0,NULL,NULL,-494225410661578598);
INSERT INTO "journal" VALUES(260,1795264918230,14295753,2,15,16,6,-1,0,1,3,0,0,NULL,NULL,351217281090986779);
INSERT INTO "journal" VALUES(261,1795264918330,14295854,2,12,11,4,1,0,1,0,0,256,NULL,'exit 0 after 1.0 s',-8845867464617493501);
INSERT INTO "journal" VALUES(262,1795264918332,14295855,2,13,11,4,-1,0,1,0,0,0,NULL,'tasks_done: 12 rows, as captured in tasks',-1924289294649520293);
INSERT INTO "journal" VALUES(263,1795264918332,14295855,2,11,11,5,1,0,1,0,0,1426723479242694834,NULL,'ADMIN_PASSWORD=${secret.ox} enableschema -m oxdatabase_1',-6752456633751962359);
INSERT INTO "journal" VALUES(264,1795264918332,14295855,2,11,11,5,2,0,1,0,0,1426723479242694834,NULL,'ADMIN_PASSWORD=${secret.ox} enableschema -m oxdatabase_1',-6359031937774758202);
INSERT INTO "journal" VALUES(265,1795264918387,14295911,2,12,11,5,1,0,1,0,0,263,NULL,'exit 0 after 0.0 s',-7731805039632975944);
INSERT INTO "journal" VALUES(266,1795264918388,14295912,2,12,11,5,2,0,1,0,0,264,NULL,'exit 0 after 0.0 s',1212597419153079030);
INSERT INTO "journal" VALUES(267,1795264918389,14295913,2,13,11,5,-1,0,1,0,0,0,NULL,'none_left: 0 rows, expected 0',-8972311280267785875);
INSERT INTO "journal" VALUES(268,1795264918389,14295913,2,15,11,6,-1,0,1,3,0,0,NULL,NULL,-2391988765869540567);
INSERT INTO "journal" VALUES(269,1795264918394,14295918,2,10,1,0,-1,0,1,0,0,0,NULL,'under way 1 of 1, tenants down 0',-5730911774677234674);
INSERT INTO "journal" VALUES(270,1795264918394,14295918,2,11,1,0,-1,0,1,0,0,-933805433748581570,NULL,'wait 1 s',-2481046645006453747);
INSERT INTO "journal" VALUES(271,1795264919396,14296920,2,12,1,0,-1,0,1,0,0,270,NULL,NULL,-5308833480961858882);
INSERT INTO "journal" VALUES(272,1795264919404,14296928,2,13,1,0,-1,0,1,0,0,0,NULL,NULL,-3286955548225468517);
INSERT INTO "journal" VALUES(273,1795264919406,14296929,2,13,1,1,-1,0,1,0,0,0,NULL,'no_tenant_old: 0 rows, expected 0',-3939027330121213395);
INSERT INTO "journal" VALUES(274,1795264919406,14296929,2,15,1,2,-1,0,1,3,0,0,NULL,NULL,-4658403218390516116);
INSERT INTO "journal" VALUES(275,1795264919406,14296929,2,10,5,0,-1,0,1,0,1,0,NULL,'under way 1 of 2, tenants down 0',8042495010517615914);
INSERT INTO "journal" VALUES(276,1795264919406,14296929,2,11,5,0,-1,0,1,0,0,533144355788486891,NULL,'main/ox1 -> ready',-7392353803799516719);
INSERT INTO "journal" VALUES(277,1795264919406,14296929,2,30,5,0,1,0,1,1,0,0,NULL,NULL,255148055123145510);
INSERT INTO "journal" VALUES(278,1795264919718,14297241,2,12,5,0,-1,0,1,0,0,276,NULL,NULL,-2008855645411534246);
INSERT INTO "journal" VALUES(279,1795264919720,14297244,2,13,5,0,-1,0,1,0,0,0,NULL,NULL,3375200355070604545);
INSERT INTO "journal" VALUES(280,1795264919720,14297244,2,11,5,1,-1,0,1,0,0,4249864393776725836,NULL,'secondary/ox1 -> ready',-2705053012370300779);
INSERT INTO "journal" VALUES(281,1795264919720,14297244,2,30,5,1,1,0,1,1,0,0,NULL,NULL,-2360680876204966150);
INSERT INTO "journal" VALUES(282,1795264919724,14297247,2,12,5,1,-1,0,1,0,0,280,NULL,NULL,3401089123984390311);
INSERT INTO "journal" VALUES(283,1795264919724,14297248,2,13,5,1,-1,0,1,0,0,0,NULL,NULL,6644782735410688234);
INSERT INTO "journal" VALUES(284,1795264919724,14297248,2,15,5,2,-1,0,1,3,0,0,NULL,NULL,-4409741098739972169);
INSERT INTO "journal" VALUES(285,1795264919811,14297335,2,10,8,0,-1,0,1,0,1,0,NULL,'under way 1 of 1, tenants down 0',2479858107620692514);
INSERT INTO "journal" VALUES(286,1795264919811,14297335,2,13,8,0,-1,0,1,3,0,0,NULL,'approved at start',8932376837121068804);
INSERT INTO "journal" VALUES(287,1795264919813,14297336,2,14,8,1,-1,0,1,0,0,0,NULL,'{"baseline":{"drain":["ready","ready"]}}',3196582112831863879);
INSERT INTO "journal" VALUES(288,1795264919813,14297336,2,11,8,1,-1,0,1,0,0,-5684730586102619139,NULL,'main/ox2 -> drain',-1781733646127765666);
INSERT INTO "journal" VALUES(289,1795264919813,14297336,2,30,8,0,2,0,1,2,0,0,NULL,NULL,-271501356112496);
INSERT INTO "journal" VALUES(290,1795264919934,14297458,2,12,8,1,-1,0,1,0,0,288,NULL,'idle',6339774365174728277);
INSERT INTO "journal" VALUES(291,1795264919937,14297461,2,13,8,1,-1,0,1,0,0,0,NULL,NULL,-2846696593366249183);
INSERT INTO "journal" VALUES(292,1795264919938,14297462,2,14,8,2,-1,0,1,0,0,0,NULL,'{"baseline":{"quiet":["drain","drain"]}}',-5982562008590584217);
INSERT INTO "journal" VALUES(293,1795264919938,14297462,2,11,8,2,-1,0,1,0,0,5801040350372167008,NULL,'main/ox2 -> maint',3352104712634537787);
INSERT INTO "journal" VALUES(294,1795264919938,14297462,2,30,8,0,2,0,1,3,0,0,NULL,NULL,-919394550543912986);
INSERT INTO "journal" VALUES(295,1795264920062,14297586,2,12,8,2,-1,0,1,0,0,293,NULL,'idle',-1972902642680713596);
INSERT INTO "journal" VALUES(296,1795264920063,14297587,2,13,8,2,-1,0,1,0,0,0,NULL,NULL,-3099707833648873258);
INSERT INTO "journal" VALUES(297,1795264920063,14297587,2,11,8,3,2,0,1,0,0,5292380207928193692,NULL,'systemctl stop open-xchange',4097133152690450074);
INSERT INTO "journal" VALUES(298,1795264920091,14297615,2,12,8,3,2,0,1,0,0,297,NULL,'exit 0 after 0.0 s',897144620397232289);
INSERT INTO "journal" VALUES(299,1795264920092,14297616,2,13,8,3,-1,0,1,0,0,0,NULL,NULL,-7843754680982596677);
INSERT INTO "journal" VALUES(300,1795264920092,14297616,2,11,8,4,2,0,1,0,0,-3671514664753974615,NULL,'DEBIAN_FRONTEND=noninteractive apt-get install -y --allow-downgrades -o Dpkg::Options::=--force-confold open-xchange=7.10.6-44',-2401315476936344270);
INSERT INTO "journal" VALUES(301,1795264920400,14297924,2,12,8,4,2,0,1,0,0,300,NULL,'exit 0 after 0.3 s
Reading package lists...
Building dependency tree...
The following packages will be upgraded:
  open-xchange
Preparing to unpack .../open-xchange_7.10.6-44_all.deb ...
Setting up open-xchange (7.10.6-44) ...
',7127285061964360325);
INSERT INTO "journal" VALUES(302,1795264920401,14297925,2,13,8,4,-1,0,1,0,0,0,NULL,NULL,-3971612964867354676);
INSERT INTO "journal" VALUES(303,1795264920401,14297925,2,11,8,5,2,0,1,0,0,-8567382580676600547,NULL,'edit /tmp/upgd-lab-upyf50_1/nodes/ox2/etc/system.properties: SERVER_NAME=oxserver-new',4920565822755720795);
INSERT INTO "journal" VALUES(304,1795264920406,14297930,2,12,8,5,2,0,1,0,0,303,NULL,'exit 0 after 0.0 s',678296469262893115);
INSERT INTO "journal" VALUES(305,1795264920407,14297931,2,13,8,5,-1,0,1,0,0,0,NULL,NULL,2775308000451217336);
INSERT INTO "journal" VALUES(306,1795264920407,14297931,2,11,8,6,2,0,1,0,0,-7258066676754276399,NULL,'edit /tmp/upgd-lab-upyf50_1/nodes/ox2/etc/server.properties: com.openexchange.server.migrationRedirectURL=',8481391821699881009);
INSERT INTO "journal" VALUES(307,1795264920414,14297938,2,12,8,6,2,0,1,0,0,306,NULL,'exit 0 after 0.0 s',5479330082544868238);
INSERT INTO "journal" VALUES(308,1795264920415,14297938,2,13,8,6,-1,0,1,0,0,0,NULL,NULL,-6669283974194078505);
INSERT INTO "journal" VALUES(309,1795264920415,14297938,2,11,8,7,2,0,1,0,0,-6681405902711756547,NULL,'edit /tmp/upgd-lab-upyf50_1/nodes/ox2/etc/server.properties: com.openexchange.push.allowPermanentPush=false',9114701346840066857);
INSERT INTO "journal" VALUES(310,1795264920420,14297944,2,12,8,7,2,0,1,0,0,309,NULL,'exit 0 after 0.0 s',5932513974143034804);
INSERT INTO "journal" VALUES(311,1795264920421,14297945,2,13,8,7,-1,0,1,0,0,0,NULL,NULL,8083826997342435042);
INSERT INTO "journal" VALUES(312,1795264920421,14297945,2,11,8,8,2,0,1,0,0,-1983545189427329050,NULL,'edit /tmp/upgd-lab-upyf50_1/nodes/ox2/etc/server.properties: com.openexchange.groupware.update.denyImplicitUpdateOnContextLoad=true',-5784422758886266813);
INSERT INTO "journal" VALUES(313,1795264920425,14297949,2,12,8,8,2,0,1,0,0,312,NULL,'exit 0 after 0.0 s',5173289092442827469);
INSERT INTO "journal" VALUES(314,1795264920426,14297949,2,13,8,8,-1,0,1,0,0,0,NULL,NULL,9081538648202812107);
INSERT INTO "journal" VALUES(315,1795264920426,14297949,2,11,8,9,2,0,1,0,0,-842578654707019953,NULL,'edit /tmp/upgd-lab-upyf50_1/nodes/ox2/etc/plugin/hosting.properties: SCHEMA_MOVE_MAINTENANCE_REASON=1431655765',-2271784767196593551);
INSERT INTO "journal" VALUES(316,1795264920430,14297954,2,12,8,9,2,0,1,0,0,315,NULL,'exit 0 after 0.0 s',-5096560264937824556);
INSERT INTO "journal" VALUES(317,1795264920431,14297955,2,13,8,9,-1,0,1,0,0,0,NULL,NULL,-511409334918502734);
INSERT INTO "journal" VALUES(318,1795264920431,14297955,2,11,8,10,2,0,1,0,0,-823388434338852926,NULL,'systemctl start open-xchange',2035866384875861307);
INSERT INTO "journal" VALUES(319,1795264920449,14297973,2,12,8,10,2,0,1,0,0,318,NULL,'exit 0 after 0.0 s',-174165135662028835);
INSERT INTO "journal" VALUES(320,1795264922201,14299725,2,13,8,10,-1,0,1,0,0,0,NULL,'changelog: 0 rows, expected 0',5066120079830918450);
INSERT INTO "journal" VALUES(321,1795264922201,14299725,2,11,8,11,-1,0,1,0,0,-2871917401042830433,NULL,'secondary/ox2 -> ready',8605650010571349225);
INSERT INTO "journal" VALUES(322,1795264922201,14299725,2,30,8,1,2,0,1,1,0,0,NULL,NULL,-3509351729029226961);
INSERT INTO "journal" VALUES(323,1795264922268,14299792,2,12,8,11,-1,0,1,0,0,321,NULL,NULL,-3760400393795859549);
INSERT INTO "journal" VALUES(324,1795264922270,14299794,2,13,8,11,-1,0,1,0,0,0,NULL,NULL,125918712000460733);
INSERT INTO "journal" VALUES(325,1795264922270,14299794,2,15,8,12,-1,0,1,3,0,0,NULL,NULL,2572660345250482053);
INSERT INTO "journal" VALUES(326,1795264922270,14299794,2,10,9,0,-1,0,1,0,1,0,NULL,'under way 1 of 2, tenants down 0',-4397416360042377159);
INSERT INTO "journal" VALUES(327,1795264922270,14299794,2,11,9,0,-1,0,1,0,0,-3095629484990258952,NULL,'main/ox2 -> ready',6198826573394394816);
INSERT INTO "journal" VALUES(328,1795264922270,14299794,2,30,9,0,2,0,1,1,0,0,NULL,NULL,4772640797712366025);
INSERT INTO "journal" VALUES(329,1795264922625,14300149,2,12,9,0,-1,0,1,0,0,327,NULL,NULL,7587614094570764709);
INSERT INTO "journal" VALUES(330,1795264922626,14300150,2,13,9,0,-1,0,1,0,0,0,NULL,NULL,-9201653626193156729);
INSERT INTO "journal" VALUES(331,1795264922626,14300150,2,11,9,1,-1,0,1,0,0,-2871917401042830433,NULL,'secondary/ox2 -> ready',1235384439695196691);
INSERT INTO "journal" VALUES(332,1795264922626,14300150,2,30,9,1,2,0,1,1,0,0,NULL,NULL,-5664988498521176811);
INSERT INTO "journal" VALUES(333,1795264922627,14300151,2,12,9,1,-1,0,1,0,0,331,NULL,NULL,-599088963884951114);
INSERT INTO "journal" VALUES(334,1795264922627,14300151,2,13,9,1,-1,0,1,0,0,0,NULL,NULL,-6761580156953602868);
INSERT INTO "journal" VALUES(335,1795264922627,14300151,2,15,9,2,-1,0,1,3,0,0,NULL,NULL,-1827611006765675317);
INSERT INTO "journal" VALUES(336,1795264922627,14300151,2,10,6,0,-1,0,1,0,1,0,NULL,'under way 1 of 4, tenants down 0',5635855217120168123);
INSERT INTO "journal" VALUES(337,1795264922627,14300151,2,10,10,0,-1,0,1,0,1,0,NULL,'under way 2 of 4, tenants down 0',-7935566363940944884);
INSERT INTO "journal" VALUES(338,1795264922627,14300151,2,11,6,0,1,0,1,0,0,-6904065540311577239,NULL,'edit /tmp/upgd-lab-upyf50_1/nodes/ox1/etc/server.properties: com.openexchange.push.allowPermanentPush=true',3958173780523362355);
INSERT INTO "journal" VALUES(339,1795264922627,14300151,2,11,10,0,2,0,1,0,0,5165310588211173258,NULL,'edit /tmp/upgd-lab-upyf50_1/nodes/ox2/etc/server.properties: com.openexchange.push.allowPermanentPush=true',1065584058878834247);
INSERT INTO "journal" VALUES(340,1795264922633,14300156,2,12,10,0,2,0,1,0,0,339,NULL,'exit 0 after 0.0 s',322221032332076616);
INSERT INTO "journal" VALUES(341,1795264922633,14300156,2,12,6,0,1,0,1,0,0,338,NULL,'exit 0 after 0.0 s',-4659639153137368696);
INSERT INTO "journal" VALUES(342,1795264922633,14300157,2,13,10,0,-1,0,1,0,0,0,NULL,NULL,7801490783638135562);
INSERT INTO "journal" VALUES(343,1795264922633,14300157,2,11,10,1,2,0,1,0,0,-4147756870287502911,NULL,'edit /tmp/upgd-lab-upyf50_1/nodes/ox2/etc/server.properties: com.openexchange.groupware.update.denyImplicitUpdateOnContextLoad=false',4189183662808552389);
INSERT INTO "journal" VALUES(344,1795264922634,14300157,2,13,6,0,-1,0,1,0,0,0,NULL,NULL,3659472213231394969);
INSERT INTO "journal" VALUES(345,1795264922634,14300157,2,11,6,1,1,0,1,0,0,-8372694869342756570,NULL,'edit /tmp/upgd-lab-upyf50_1/nodes/ox1/etc/server.properties: com.openexchange.groupware.update.denyImplicitUpdateOnContextLoad=false',-6065334366912173542);
INSERT INTO "journal" VALUES(346,1795264922639,14300162,2,12,10,1,2,0,1,0,0,343,NULL,'exit 0 after 0.0 s',4281902806371805704);
INSERT INTO "journal" VALUES(347,1795264922639,14300163,2,12,6,1,1,0,1,0,0,345,NULL,'exit 0 after 0.0 s',-2169876579910723863);
INSERT INTO "journal" VALUES(348,1795264922639,14300163,2,13,10,1,-1,0,1,0,0,0,NULL,NULL,-7170241981129381667);
INSERT INTO "journal" VALUES(349,1795264922639,14300163,2,11,10,2,2,0,1,0,0,-1538659807431714037,NULL,'ADMIN_PASSWORD=${secret.ox} reloadconfiguration',3405464824225634274);
INSERT INTO "journal" VALUES(350,1795264922640,14300164,2,13,6,1,-1,0,1,0,0,0,NULL,NULL,1601057131496246678);
INSERT INTO "journal" VALUES(351,1795264922640,14300164,2,11,6,2,1,0,1,0,0,-1538659807431714037,NULL,'ADMIN_PASSWORD=${secret.ox} reloadconfiguration',3986116515958635175);
INSERT INTO "journal" VALUES(352,1795264922678,14300202,2,12,10,2,2,0,1,0,0,349,NULL,'exit 0 after 0.0 s',-2083626492065756443);
INSERT INTO "journal" VALUES(353,1795264922679,14300203,2,12,6,2,1,0,1,0,0,351,NULL,'exit 0 after 0.0 s',5641690134846522145);
INSERT INTO "journal" VALUES(354,1795264922680,14300203,2,13,10,2,-1,0,1,0,0,0,NULL,'runs_new: "7.10.6-Rev44", expected to match ^7\.10\.6(-|$)',-4610821402789589393);
INSERT INTO "journal" VALUES(355,1795264922680,14300203,2,15,10,3,-1,0,1,3,0,0,NULL,NULL,-6197552492374571993);
INSERT INTO "journal" VALUES(356,1795264922681,14300205,2,13,6,2,-1,0,1,0,0,0,NULL,'runs_new: "7.10.6-Rev44", expected to match ^7\.10\.6(-|$)',-1282821084382519697);
INSERT INTO "journal" VALUES(357,1795264922681,14300205,2,15,6,3,-1,0,1,3,0,0,NULL,NULL,157488716489378745);
INSERT INTO "journal" VALUES(358,1795264922683,14300207,2,10,2,0,-1,0,1,0,0,0,NULL,'under way 1 of 1, tenants down 0',-6318268651924844612);
INSERT INTO "journal" VALUES(359,1795264922684,14300208,2,13,2,0,-1,0,1,0,0,0,NULL,'changelog: 0 rows, expected 0',-5005969511689529884);
INSERT INTO "journal" VALUES(360,1795264922684,14300208,2,15,2,1,-1,0,1,3,0,0,NULL,NULL,-4574668416029211981);
INSERT INTO "journal" VALUES(361,1795264922687,14300211,2,50,NULL,NULL,-1,0,0,3,0,0,NULL,'done: 17 of 17 units done, 0 skipped, 0 parked, 0 failed, 0 undone, 0 not started',-8935091727527440969);
CREATE INDEX journal_unit ON journal (unit) WHERE unit IS NOT NULL;
CREATE VIEW log AS SELECT seq, strftime('%Y-%m-%d %H:%M:%f', at / 1000.0, 'unixepoch') AS at_utc, epoch, CASE kind WHEN 1 THEN 'header' WHEN 2 THEN 'start' WHEN 3 THEN 'row' WHEN 4 THEN 'epoch' WHEN 5 THEN 'planned' WHEN 10 THEN 'admit' WHEN 11 THEN 'intent' WHEN 12 THEN 'acted' WHEN 13 THEN 'step' WHEN 14 THEN 'capture' WHEN 15 THEN 'unit' WHEN 16 THEN 'retry' WHEN 17 THEN 'resolve' WHEN 18 THEN 'stays' WHEN 21 THEN 'lift' WHEN 22 THEN 'approve' WHEN 23 THEN 'pause' WHEN 24 THEN 'resume' WHEN 25 THEN 'abort' WHEN 26 THEN 'limit' WHEN 30 THEN 'want' WHEN 31 THEN 'foreign' WHEN 32 THEN 'reassert' WHEN 33 THEN 'process' WHEN 40 THEN 'note' WHEN 41 THEN 'request' WHEN 50 THEN 'end' ELSE kind END AS kind, unit, step, lane, CASE dir WHEN 1 THEN 'undo' ELSE 'do' END AS dir, attempt, code, value, printf('%016x', hash) AS hash, coalesce(actor, 'upgd') AS actor, text FROM journal;
COMMIT;
