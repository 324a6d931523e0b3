BEGIN TRANSACTION;
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
);
INSERT INTO "_sqlite_migrations" VALUES(1,'szal_nb','2026_11_tables','2026-11-21 03:05:51.369349+00:00');
INSERT INTO "_sqlite_migrations" VALUES(2,'szal_nb','2026_11_fingerprints','2026-11-21 05:56:19.840204+00:00');
INSERT INTO "_sqlite_migrations" VALUES(3,'szal_nb','2026_11_progress','2026-11-21 14:12:27.489802+00:00');
INSERT INTO "_sqlite_migrations" VALUES(4,'szal_nb','2026_11_numbered_rows','2026-11-28 12:27:19.024272+00:00');
CREATE TABLE "attempts" (
   "id" INTEGER PRIMARY KEY,
   "run_id" TEXT REFERENCES "runs"("id"),
   "step" TEXT,
   "number" INTEGER,
   "state" TEXT NOT NULL,
   "started_at" TEXT NOT NULL,
   "ended_at" TEXT,
   "duration_s" REAL,
   "error" TEXT,
   "error_detail" TEXT
);
INSERT INTO "attempts" VALUES(1,'aaaaaaaaaaaa','load',1,'completed','1970-01-01T00:00:02.000000+00:00','1970-01-01T00:00:03.000000+00:00',1.0,NULL,NULL);
INSERT INTO "attempts" VALUES(2,'aaaaaaaaaaaa','clean',1,'running','1970-01-01T00:00:03.000000+00:00',NULL,NULL,NULL,NULL);
INSERT INTO "attempts" VALUES(3,'bbbbbbbbbbbb','load',1,'failed','1970-01-01T00:00:06.000000+00:00','1970-01-01T00:00:07.000000+00:00',1.0,'ValueError: no','{"type":"ValueError","message":"no","traceback":"line 1","names":["ValueError","Exception"],"line":1}');
CREATE TABLE "blobs" (
   "hash" TEXT PRIMARY KEY,
   "format" TEXT NOT NULL,
   "size" INTEGER NOT NULL,
   "in_file" INTEGER NOT NULL,
   "data" BLOB
);
INSERT INTO "blobs" VALUES('207d31b07c8f07dc9fde4ece7ee4bbb9','json',4,0,X'22455522');
INSERT INTO "blobs" VALUES('005a100ad91c1642a654ccc4ccac8d4c','json',16,0,X'5B312C322C7B2261223A6E756C6C7D5D');
CREATE TABLE "events" (
   "run_id" TEXT REFERENCES "runs"("id"),
   "seq" INTEGER,
   "at" TEXT NOT NULL,
   "kind" TEXT NOT NULL,
   "step" TEXT,
   "attempt" INTEGER,
   "data" TEXT NOT NULL,
   "crc" INTEGER NOT NULL,
   PRIMARY KEY ("run_id", "seq")
) WITHOUT ROWID;
INSERT INTO "events" VALUES('aaaaaaaaaaaa',0,'1970-01-01T00:00:01.000000+00:00','run.created',NULL,NULL,'{"kind":"run.created","flow":"sales","steps":["load","clean","plot"],"inputs":[{"name":"region","type":"str","hash":"207d31b07c8f07dc9fde4ece7ee4bbb9","format":"json","size":4,"summary":"''EU''","needed":true}],"at":1.0}',1177261000);
INSERT INTO "events" VALUES('aaaaaaaaaaaa',1,'1970-01-01T00:00:01.500000+00:00','run.started',NULL,NULL,'{"kind":"run.started","at":1.5}',2629541220);
INSERT INTO "events" VALUES('aaaaaaaaaaaa',2,'1970-01-01T00:00:02.000000+00:00','step.started','load',1,'{"kind":"step.started","step":"load","attempt":1,"at":2.0}',2607530093);
INSERT INTO "events" VALUES('aaaaaaaaaaaa',3,'1970-01-01T00:00:03.000000+00:00','step.completed','load',1,'{"kind":"step.completed","step":"load","attempt":1,"values":[{"name":"load","type":"list","hash":"005a100ad91c1642a654ccc4ccac8d4c","format":"json","size":16,"shape":[3],"summary":"3 items","identity":"1.1","needed":true}],"at":3.0}',1482646954);
INSERT INTO "events" VALUES('aaaaaaaaaaaa',4,'1970-01-01T00:00:03.000000+00:00','step.started','clean',1,'{"kind":"step.started","step":"clean","attempt":1,"at":3.0}',985087155);
INSERT INTO "events" VALUES('bbbbbbbbbbbb',0,'1970-01-01T00:00:05.000000+00:00','run.created',NULL,NULL,'{"kind":"run.created","flow":"sales","steps":["load","clean","plot"],"at":5.0}',1855185664);
INSERT INTO "events" VALUES('bbbbbbbbbbbb',1,'1970-01-01T00:00:05.000000+00:00','run.started',NULL,NULL,'{"kind":"run.started","at":5.0}',1856962166);
INSERT INTO "events" VALUES('bbbbbbbbbbbb',2,'1970-01-01T00:00:06.000000+00:00','step.started','load',1,'{"kind":"step.started","step":"load","attempt":1,"at":6.0}',336156474);
INSERT INTO "events" VALUES('bbbbbbbbbbbb',3,'1970-01-01T00:00:07.000000+00:00','step.failed','load',1,'{"kind":"step.failed","step":"load","attempt":1,"error":{"type":"ValueError","message":"no","traceback":"line 1","names":["ValueError","Exception"],"line":1},"at":7.0}',1152752853);
INSERT INTO "events" VALUES('bbbbbbbbbbbb',4,'1970-01-01T00:00:07.000000+00:00','step.skipped','clean',NULL,'{"kind":"step.skipped","step":"clean","reason":"load failed","at":7.0}',1589644311);
INSERT INTO "events" VALUES('bbbbbbbbbbbb',5,'1970-01-01T00:00:07.000000+00:00','step.skipped','plot',NULL,'{"kind":"step.skipped","step":"plot","reason":"load failed","at":7.0}',731299226);
INSERT INTO "events" VALUES('bbbbbbbbbbbb',6,'1970-01-01T00:00:07.000000+00:00','run.failed',NULL,NULL,'{"kind":"run.failed","at":7.0}',3958836755);
CREATE TABLE "flows" (
   "id" TEXT PRIMARY KEY,
   "name" TEXT NOT NULL,
   "version" INTEGER NOT NULL,
   "mode" TEXT,
   "graph" TEXT NOT NULL,
   "created_at" TEXT
);
INSERT INTO "flows" VALUES('dde28513caaa741b444cf3d90573b869','sales',1,'dag','{"flow":{"name":"sales","version":1,"mode":"dag","steps":[{"name":"load","kind":"cell","source":"load = 1","raw":"","cell_id":null,"retry":{"retries":0,"delay_s":1.0,"backoff":"fixed","max_delay_s":null,"jitter":0.0,"retry_on":[],"no_retry_on":[]},"timeout_s":null,"timeout_total_s":null,"when":null,"on_condition_error":"fail","trigger":"all","map":[],"map_mode":"zip","map_errors":"fail","max_parallel":null,"on_error":"fail","approve":null,"cache":false,"once":false,"strict":false,"executor":"thread","parent":null,"tags":[],"after":[],"needs":[],"out":[],"reads":[],"changes":[],"pure":[],"priority":0,"requires":[],"rollback":null},{"name":"clean","kind":"cell","source":"clean = 1","raw":"","cell_id":null,"retry":{"retries":0,"delay_s":1.0,"backoff":"fixed","max_delay_s":null,"jitter":0.0,"retry_on":[],"no_retry_on":[]},"timeout_s":null,"timeout_total_s":null,"when":null,"on_condition_error":"fail","trigger":"all","map":[],"map_mode":"zip","map_errors":"fail","max_parallel":null,"on_error":"fail","approve":null,"cache":false,"once":false,"strict":false,"executor":"thread","parent":null,"tags":[],"after":[],"needs":[],"out":[],"reads":[],"changes":[],"pure":[],"priority":0,"requires":[],"rollback":null},{"name":"plot","kind":"cell","source":"plot = 1","raw":"","cell_id":null,"retry":{"retries":0,"delay_s":1.0,"backoff":"fixed","max_delay_s":null,"jitter":0.0,"retry_on":[],"no_retry_on":[]},"timeout_s":null,"timeout_total_s":null,"when":null,"on_condition_error":"fail","trigger":"all","map":[],"map_mode":"zip","map_errors":"fail","max_parallel":null,"on_error":"fail","approve":null,"cache":false,"once":false,"strict":false,"executor":"thread","parent":null,"tags":[],"after":[],"needs":[],"out":[],"reads":[],"changes":[],"pure":[],"priority":0,"requires":[],"rollback":null}],"ordered":true,"max_parallel":null,"timeout_s":null,"guard":"full","rollback_on":["failure"],"limits":[]},"nodes":[{"step":{"name":"load","kind":"cell","source":"load = 1","raw":"","cell_id":null,"retry":{"retries":0,"delay_s":1.0,"backoff":"fixed","max_delay_s":null,"jitter":0.0,"retry_on":[],"no_retry_on":[]},"timeout_s":null,"timeout_total_s":null,"when":null,"on_condition_error":"fail","trigger":"all","map":[],"map_mode":"zip","map_errors":"fail","max_parallel":null,"on_error":"fail","approve":null,"cache":false,"once":false,"strict":false,"executor":"thread","parent":null,"tags":[],"after":[],"needs":[],"out":[],"reads":[],"changes":[],"pure":[],"priority":0,"requires":[],"rollback":null},"bindings":[],"gives":["load"],"changes":[],"needed":[],"imports":[],"definitions":[],"is_async":false,"is_main_thread":false,"is_cacheable":true,"notes":[]},{"step":{"name":"clean","kind":"cell","source":"clean = 1","raw":"","cell_id":null,"retry":{"retries":0,"delay_s":1.0,"backoff":"fixed","max_delay_s":null,"jitter":0.0,"retry_on":[],"no_retry_on":[]},"timeout_s":null,"timeout_total_s":null,"when":null,"on_condition_error":"fail","trigger":"all","map":[],"map_mode":"zip","map_errors":"fail","max_parallel":null,"on_error":"fail","approve":null,"cache":false,"once":false,"strict":false,"executor":"thread","parent":null,"tags":[],"after":[],"needs":[],"out":[],"reads":[],"changes":[],"pure":[],"priority":0,"requires":[],"rollback":null},"bindings":[],"gives":["clean"],"changes":[],"needed":[],"imports":[],"definitions":[],"is_async":false,"is_main_thread":false,"is_cacheable":true,"notes":[]},{"step":{"name":"plot","kind":"cell","source":"plot = 1","raw":"","cell_id":null,"retry":{"retries":0,"delay_s":1.0,"backoff":"fixed","max_delay_s":null,"jitter":0.0,"retry_on":[],"no_retry_on":[]},"timeout_s":null,"timeout_total_s":null,"when":null,"on_condition_error":"fail","trigger":"all","map":[],"map_mode":"zip","map_errors":"fail","max_parallel":null,"on_error":"fail","approve":null,"cache":false,"once":false,"strict":false,"executor":"thread","parent":null,"tags":[],"after":[],"needs":[],"out":[],"reads":[],"changes":[],"pure":[],"priority":0,"requires":[],"rollback":null},"bindings":[],"gives":["plot"],"changes":[],"needed":[],"imports":[],"definitions":[],"is_async":false,"is_main_thread":false,"is_cacheable":true,"notes":[]}],"edges":[],"inputs":[]}','1970-01-01T00:00:01.000000+00:00');
CREATE TABLE "inputs" (
   "run_id" TEXT REFERENCES "runs"("id"),
   "name" TEXT,
   "type" TEXT,
   "hash" TEXT REFERENCES "blobs"("hash"),
   "format" TEXT,
   "size" INTEGER,
   "shape" TEXT,
   "summary" TEXT,
   "live" TEXT,
   "identity" TEXT,
   "needed" INTEGER,
   PRIMARY KEY ("run_id", "name")
);
INSERT INTO "inputs" VALUES('aaaaaaaaaaaa','region','str','207d31b07c8f07dc9fde4ece7ee4bbb9','json',4,NULL,'''EU''',NULL,NULL,1);
CREATE TABLE "notebooks" (
   "id" TEXT PRIMARY KEY,
   "content" TEXT NOT NULL
);
INSERT INTO "notebooks" VALUES('53a8a29a0275cf82cf70434638abe2ad','{"cells": []}');
CREATE TABLE "runs" (
   "id" TEXT PRIMARY KEY,
   "flow" TEXT NOT NULL,
   "version" INTEGER NOT NULL,
   "state" TEXT NOT NULL,
   "reason" TEXT,
   "created_at" TEXT NOT NULL,
   "started_at" TEXT,
   "ended_at" TEXT,
   "notebook_path" TEXT,
   "output_path" TEXT,
   "params" TEXT,
   "packages" TEXT,
   "is_interactive" INTEGER,
   "is_cancelling" INTEGER,
   "is_interrupted" INTEGER,
   "owner" TEXT,
   "launcher" TEXT,
   "epoch" INTEGER NOT NULL,
   "lease_until" TEXT,
   "events" INTEGER NOT NULL,
   "is_imported" INTEGER NOT NULL,
   "flow_id" TEXT REFERENCES "flows"("id"),
   "notebook_id" TEXT REFERENCES "notebooks"("id")
);
INSERT INTO "runs" VALUES('aaaaaaaaaaaa','sales',1,'running','','1970-01-01T00:00:01.000000+00:00','1970-01-01T00:00:01.500000+00:00',NULL,NULL,NULL,'{"region":"EU"}','{"numpy":"2.0"}',1,0,0,'{"boot_id":"00000000-0000-0000-0000-000000000000","pid_namespace":"pid:[1]","pid":1,"started":"1","host":"old"}',NULL,1,NULL,5,0,'dde28513caaa741b444cf3d90573b869','53a8a29a0275cf82cf70434638abe2ad');
INSERT INTO "runs" VALUES('bbbbbbbbbbbb','sales',1,'failed','','1970-01-01T00:00:05.000000+00:00','1970-01-01T00:00:05.000000+00:00','1970-01-01T00:00:07.000000+00:00',NULL,NULL,'{}','{}',1,0,0,'{"boot_id":"00000000-0000-0000-0000-000000000000","pid_namespace":"pid:[1]","pid":1,"started":"1","host":"old"}',NULL,1,NULL,7,0,'dde28513caaa741b444cf3d90573b869',NULL);
CREATE TABLE "steps" (
   "id" INTEGER PRIMARY KEY,
   "run_id" TEXT REFERENCES "runs"("id"),
   "name" TEXT,
   "position" INTEGER NOT NULL,
   "state" TEXT NOT NULL,
   "attempt" INTEGER NOT NULL,
   "origin" TEXT,
   "reason" TEXT,
   "started_at" TEXT,
   "ended_at" TEXT,
   "duration_s" REAL,
   "retry_at" TEXT,
   "answer" TEXT,
   "is_approved" INTEGER,
   "error" TEXT,
   "error_detail" TEXT,
   "fingerprint" TEXT,
   "taken_from" TEXT,
   "done" REAL,
   "total" REAL,
   "note" TEXT,
   "rollback_attempts" INTEGER,
   "rollback_error" TEXT,
   "rollback_error_detail" TEXT
);
INSERT INTO "steps" VALUES(1,'aaaaaaaaaaaa','load',0,'completed',1,'ran','','1970-01-01T00:00:02.000000+00:00','1970-01-01T00:00:03.000000+00:00',1.0,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "steps" VALUES(2,'aaaaaaaaaaaa','clean',1,'running',1,NULL,'','1970-01-01T00:00:03.000000+00:00',NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "steps" VALUES(3,'aaaaaaaaaaaa','plot',2,'pending',0,NULL,'',NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "steps" VALUES(4,'bbbbbbbbbbbb','load',0,'failed',1,NULL,'','1970-01-01T00:00:06.000000+00:00','1970-01-01T00:00:07.000000+00:00',1.0,NULL,NULL,0,'ValueError: no','{"type":"ValueError","message":"no","traceback":"line 1","names":["ValueError","Exception"],"line":1}',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "steps" VALUES(5,'bbbbbbbbbbbb','clean',1,'skipped',0,NULL,'load failed',NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "steps" VALUES(6,'bbbbbbbbbbbb','plot',2,'skipped',0,NULL,'load failed',NULL,NULL,NULL,NULL,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE "values" (
   "run_id" TEXT REFERENCES "runs"("id"),
   "step" TEXT,
   "attempt" INTEGER,
   "name" TEXT,
   "is_current" INTEGER,
   "type" TEXT,
   "hash" TEXT REFERENCES "blobs"("hash"),
   "format" TEXT,
   "size" INTEGER,
   "shape" TEXT,
   "summary" TEXT,
   "live" TEXT,
   "identity" TEXT,
   "needed" INTEGER,
   PRIMARY KEY ("run_id", "step", "attempt", "name")
);
INSERT INTO "values" VALUES('aaaaaaaaaaaa','load',1,'load',1,'list','005a100ad91c1642a654ccc4ccac8d4c','json',16,'[3]','3 items',NULL,'1.1',1);
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name");
CREATE INDEX "idx_runs_created_at"
    ON "runs" ("created_at");
CREATE INDEX "idx_runs_flow_created_at"
    ON "runs" ("flow", "created_at");
CREATE INDEX "idx_runs_state"
    ON "runs" ("state");
CREATE INDEX "idx_values_hash"
    ON "values" ("hash");
CREATE INDEX "idx_inputs_hash"
    ON "inputs" ("hash");
CREATE UNIQUE INDEX "idx_steps_run_id_name"
    ON "steps" ("run_id", "name");
CREATE INDEX "idx_attempts_run_id"
    ON "attempts" ("run_id");
CREATE VIEW "v_runs" AS 
select runs.id, runs.flow, runs.version, runs.state, runs.created_at, runs.started_at, runs.ended_at,
       round((julianday(runs.ended_at) - julianday(runs.started_at)) * 86400, 3) as duration_s,
       (select count(*) from steps where steps.run_id = runs.id) as steps,
       (select count(*) from steps where steps.run_id = runs.id and steps.state = 'completed') as completed,
       (select count(*) from steps where steps.run_id = runs.id and steps.state = 'failed') as failed,
       runs.notebook_path, runs.reason
from runs order by runs.created_at desc;
CREATE VIEW "v_failures" AS 
select runs.id as run_id, runs.flow, steps.name as step, steps.attempt, steps.ended_at, steps.error, runs.notebook_path
from steps join runs on runs.id = steps.run_id
where steps.state = 'failed' order by steps.ended_at desc;
COMMIT;
PRAGMA application_id = 1398423884;
PRAGMA user_version = 4;
