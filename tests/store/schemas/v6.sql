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
INSERT INTO "_sqlite_migrations" VALUES(5,'szal_nb','2026_11_turns','2026-11-28 15:46:15.667628+00:00');
INSERT INTO "_sqlite_migrations" VALUES(6,'szal_nb','2026_11_values_by_key','2026-11-28 22:11:21.880911+00:00');
CREATE TABLE "blobs" (
   "hash" TEXT PRIMARY KEY,
   "format" TEXT NOT NULL,
   "size" INTEGER NOT NULL,
   "in_file" INTEGER NOT NULL,
   "data" BLOB
);
INSERT INTO "blobs" VALUES('207d31b07c8f07dc9fde4ece7ee4bbb9','json',4,0,X'22455522');
INSERT INTO "blobs" VALUES('005a100ad91c1642a654ccc4ccac8d4c','json',16,0,X'5B312C322C7B2261223A6E756C6C7D5D');
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
CREATE TABLE "past_attempts" (
   "run_id" TEXT REFERENCES "runs"("id"),
   "step" TEXT,
   "number" INTEGER,
   "state" TEXT NOT NULL,
   "started_at" TEXT NOT NULL,
   "ended_at" TEXT,
   "duration_s" REAL,
   "error" TEXT,
   "error_detail" TEXT,
   PRIMARY KEY ("run_id", "step", "number")
) WITHOUT ROWID;
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
, from_run TEXT);
INSERT INTO "runs" VALUES('aaaaaaaaaaaa','sales',1,'running','','1970-01-01T00:00:01.000000+00:00','1970-01-01T00:00:01.500000+00:00',NULL,NULL,NULL,'{"region":"EU"}','{"numpy":"2.0"}',1,0,0,'{"boot_id":"00000000-0000-0000-0000-000000000000","pid_namespace":"pid:[1]","pid":1,"started":"1","host":"old"}',NULL,1,NULL,5,0,'dde28513caaa741b444cf3d90573b869','53a8a29a0275cf82cf70434638abe2ad',NULL);
INSERT INTO "runs" VALUES('bbbbbbbbbbbb','sales',1,'failed','','1970-01-01T00:00:05.000000+00:00','1970-01-01T00:00:05.000000+00:00','1970-01-01T00:00:07.000000+00:00',NULL,NULL,'{}','{}',1,0,0,'{"boot_id":"00000000-0000-0000-0000-000000000000","pid_namespace":"pid:[1]","pid":1,"started":"1","host":"old"}',NULL,1,NULL,7,0,'dde28513caaa741b444cf3d90573b869',NULL,NULL);
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
CREATE TABLE "turns" (
   "run_id" TEXT REFERENCES "runs"("id"),
   "first" INTEGER,
   "data" TEXT NOT NULL,
   "crc" INTEGER NOT NULL,
   PRIMARY KEY ("run_id", "first")
) WITHOUT ROWID;
INSERT INTO "turns" VALUES('aaaaaaaaaaaa',0,'[{"kind":"run.created","flow":"sales","steps":["load","clean","plot"],"inputs":[{"name":"region","type":"str","hash":"207d31b07c8f07dc9fde4ece7ee4bbb9","format":"json","size":4,"summary":"''EU''","needed":true}],"at":1.0},{"kind":"run.started","at":1.5},{"kind":"step.started","step":"load","attempt":1,"at":2.0},{"kind":"step.completed","step":"load","attempt":1,"values":[{"name":"load","type":"list","hash":"005a100ad91c1642a654ccc4ccac8d4c","format":"json","size":16,"shape":[3],"summary":"3 items","identity":"1.1","needed":true}],"at":3.0},{"kind":"step.started","step":"clean","attempt":1,"at":3.0}]',3869580263);
INSERT INTO "turns" VALUES('bbbbbbbbbbbb',0,'[{"kind":"run.created","flow":"sales","steps":["load","clean","plot"],"at":5.0},{"kind":"run.started","at":5.0},{"kind":"step.started","step":"load","attempt":1,"at":6.0},{"kind":"step.failed","step":"load","attempt":1,"error":{"type":"ValueError","message":"no","traceback":"line 1","names":["ValueError","Exception"],"line":1},"at":7.0},{"kind":"step.skipped","step":"clean","reason":"load failed","at":7.0},{"kind":"step.skipped","step":"plot","reason":"load failed","at":7.0},{"kind":"run.failed","at":7.0}]',2313524788);
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
CREATE INDEX "idx_inputs_hash"
    ON "inputs" ("hash");
CREATE UNIQUE INDEX "idx_steps_run_id_name"
    ON "steps" ("run_id", "name");
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
CREATE VIEW "events" AS 
select turns.run_id, turns.first + event.key as seq,
       strftime('%Y-%m-%dT%H:%M:%S', cast(json_extract(event.value, '$.at') * 1e6 + 0.5 as integer) / 1000000,
                'unixepoch')
       || printf('.%06d+00:00', cast(json_extract(event.value, '$.at') * 1e6 + 0.5 as integer) % 1000000) as at,
       json_extract(event.value, '$.kind') as kind, json_extract(event.value, '$.step') as step,
       json_extract(event.value, '$.attempt') as attempt, event.value as data
from turns join json_each(turns.data) as event;
CREATE VIEW "attempts" AS 
select run_id, step, number, state, started_at, ended_at, duration_s, error, error_detail from past_attempts
union all
select run_id, name, attempt,
       case state when 'rolled_back' then 'completed' when 'retrying' then 'failed' else state end,
       started_at, ended_at, duration_s,
       case when state in ('failed', 'retrying') then error end,
       case when state in ('failed', 'retrying') then error_detail end
from steps
where attempt > 0 and not exists (
    select 1 from past_attempts as past
    where past.run_id = steps.run_id and past.step = steps.name and past.number = steps.attempt);
COMMIT;
PRAGMA user_version = 6;
PRAGMA application_id = 1398423884;
