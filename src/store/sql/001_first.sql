-- Instants are INTEGER nanoseconds since 1970-01-01T00:00:00Z on the control plane's clock, NULL for "not yet";
-- durations are INTEGER nanoseconds and end in _ns. Boot ids are 16 hex digits, as in the API: they are random, and
-- half of them would read as negative numbers. All words are those of the API (docs/api.md). docs/store.md has more.

CREATE TABLE migrations (
    version    INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;

CREATE TABLE nodes (
    number      INTEGER PRIMARY KEY, -- 0, 1, 2 ... in order of enrolment, never reused
    name        TEXT    NOT NULL UNIQUE,
    role        TEXT    NOT NULL,
    zone        TEXT    NOT NULL,
    address     TEXT    NOT NULL,
    calls       TEXT    NOT NULL, -- names of the nodes it calls, with blanks between
    boot        TEXT    NOT NULL,
    sequence    INTEGER NOT NULL, -- the highest stored of this boot
    interval_ns INTEGER NOT NULL,
    seen_at     INTEGER,
    gone        INTEGER NOT NULL
) STRICT;

CREATE TABLE incidents (
    id              INTEGER PRIMARY KEY,
    node            INTEGER NOT NULL, -- nodes.number
    finding         TEXT    NOT NULL, -- the detector's name
    severity        TEXT    NOT NULL,
    state           TEXT    NOT NULL,
    remedy          TEXT    NOT NULL,
    outcome         TEXT    NOT NULL,
    verdict         TEXT    NOT NULL,
    block           TEXT    NOT NULL,
    why             TEXT    NOT NULL,
    began_at        INTEGER,
    opened_at       INTEGER,
    planned_at      INTEGER,
    acted_at        INTEGER,
    answer_by       INTEGER,
    ended_at        INTEGER,
    verify_from     INTEGER,
    verify_by       INTEGER,
    healthy_since   INTEGER,
    closed_at       INTEGER,
    hold_until      INTEGER,
    planner_by      INTEGER,
    blocked_at      INTEGER,
    blocked_last_at INTEGER,
    blocked_count   INTEGER NOT NULL,
    command         INTEGER NOT NULL, -- commands.id of the newest, 0 if there was none
    detector        INTEGER,          -- its place in the policy, NULL once the policy has lost it
    fresh_samples   INTEGER NOT NULL,
    attempts        INTEGER NOT NULL,
    reopened        INTEGER NOT NULL,
    rung            INTEGER NOT NULL, -- of the ladder, from 0
    evidence_count  INTEGER NOT NULL,
    proposed        INTEGER NOT NULL, -- from here on 0 or 1
    approved        INTEGER NOT NULL,
    acknowledged    INTEGER NOT NULL,
    explained       INTEGER NOT NULL,
    local_cause     INTEGER NOT NULL
) STRICT;
CREATE INDEX incidents_by_node  ON incidents (node);
CREATE INDEX incidents_by_state ON incidents (state, closed_at);

-- What the detector compared, and what was seen: `metric comparison number`, of its growth a second if rate is 1.
CREATE TABLE evidence (
    incident   INTEGER NOT NULL,
    place      INTEGER NOT NULL, -- in the detector's condition, from 0
    metric     TEXT    NOT NULL,
    comparison TEXT    NOT NULL, -- > >= < <=
    number     REAL    NOT NULL,
    rate       INTEGER NOT NULL,
    before     REAL,             -- when the finding fired
    after      REAL,             -- the newest that verification has seen
    PRIMARY KEY (incident, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE timeline (
    id       INTEGER PRIMARY KEY,
    incident INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    step     TEXT    NOT NULL,
    state    TEXT    NOT NULL,
    text     TEXT    NOT NULL
) STRICT;
CREATE INDEX timeline_by_incident ON timeline (incident);

CREATE TABLE commands (
    id         INTEGER PRIMARY KEY, -- epoch * 4294967296 + a number that rises for ever
    epoch      INTEGER NOT NULL,
    incident   INTEGER NOT NULL,
    node       INTEGER NOT NULL,
    boot       TEXT    NOT NULL,
    remedy     TEXT    NOT NULL,
    attempt    INTEGER NOT NULL,
    ordered_at INTEGER NOT NULL,
    expires_at INTEGER,
    answer_by  INTEGER,
    ended_at   INTEGER,
    outcome    TEXT    NOT NULL,
    took_s     REAL,
    detail     TEXT    NOT NULL
) STRICT;
CREATE INDEX commands_by_incident ON commands (incident);
CREATE INDEX commands_by_node     ON commands (node);

-- Why an incident was not acted upon: one row per incident and reason.
CREATE TABLE blocked (
    incident INTEGER NOT NULL,
    reason   TEXT    NOT NULL,
    node     INTEGER NOT NULL,
    remedy   TEXT    NOT NULL, -- the one stopped last
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    PRIMARY KEY (incident, reason)
) STRICT, WITHOUT ROWID;
CREATE INDEX blocked_by_last ON blocked (last_at);

CREATE TABLE faults (
    id          INTEGER PRIMARY KEY,
    node        INTEGER NOT NULL,
    kind        TEXT    NOT NULL,
    state       TEXT    NOT NULL,
    effect      TEXT    NOT NULL,
    intensity   REAL    NOT NULL,
    before      REAL,
    after       REAL,
    lease_ns    INTEGER NOT NULL,
    asked_at    INTEGER NOT NULL,
    injected_at INTEGER,
    ended_at    INTEGER,
    reason      TEXT    NOT NULL
) STRICT;
CREATE INDEX faults_by_node ON faults (node, injected_at);

-- One row per report, appended; NULL where the report had no such metric. A later metric gets a column of its own
-- by a later migration.
CREATE TABLE samples (
    id                      INTEGER PRIMARY KEY,
    node                    INTEGER NOT NULL,
    at                      INTEGER NOT NULL,
    boot                    TEXT    NOT NULL,
    sequence                INTEGER NOT NULL,
    cpu_utilization         REAL,
    memory_bytes            REAL,
    service_up              REAL,
    service_starts          REAL,
    request_rate            REAL,
    request_latency         REAL,
    error_ratio             REAL,
    storage_latency         REAL,
    network_latency         REAL,
    filesystem_utilization  REAL,
    node_cpu_utilization    REAL,
    node_memory_utilization REAL
) STRICT;

-- Instead of an index on samples, which would cost more than the samples: for each run of 4096 ids (block = id / 4096)
-- the earliest and the latest instant in it. Ids rise nearly with time, so few blocks overlap a span of time.
CREATE TABLE samples_blocks (
    block    INTEGER PRIMARY KEY,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE policies (
    version INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    text    TEXT    NOT NULL
) STRICT;

-- The one row of things that outlive the control plane.
CREATE TABLE control (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    epoch         INTEGER NOT NULL,
    next_incident INTEGER NOT NULL,
    next_command  INTEGER NOT NULL,
    paused        INTEGER NOT NULL,
    breaker_open  INTEGER NOT NULL,
    at            INTEGER           -- the newest durable instant
) STRICT;

-- Incidents as one would tell them. The fault is the newest one injected on the node before the incident opened, if it
-- opened within the fault's lease and ten seconds; the ..._after_s count from its injection, or else from began_at.
CREATE VIEW incidents_for_people AS
WITH told AS (
    SELECT *, CASE WHEN state = 'resolved' AND verdict = 'effective' THEN ended_at END AS fixed_at,
        (SELECT f.id FROM faults AS f
         WHERE f.node = incidents.node AND f.injected_at <= incidents.opened_at
           AND incidents.opened_at <= f.injected_at + f.lease_ns + 10000000000
         ORDER BY f.injected_at DESC LIMIT 1) AS fault
    FROM incidents
)
SELECT
    told.id,
    coalesce(nodes.name, 'number ' || told.node)                             AS node,
    told.finding, told.severity, told.state, told.remedy, told.verdict, told.block,
    told.attempts, told.reopened,
    strftime('%Y-%m-%dT%H:%M:%fZ', told.began_at  / 1e9, 'unixepoch')        AS began,
    strftime('%Y-%m-%dT%H:%M:%fZ', told.opened_at / 1e9, 'unixepoch')        AS opened,
    strftime('%Y-%m-%dT%H:%M:%fZ', told.acted_at  / 1e9, 'unixepoch')        AS acted,
    strftime('%Y-%m-%dT%H:%M:%fZ', told.fixed_at  / 1e9, 'unixepoch')        AS fixed,
    strftime('%Y-%m-%dT%H:%M:%fZ', told.closed_at / 1e9, 'unixepoch')        AS closed,
    faults.id                                                                AS fault,
    faults.kind                                                              AS fault_kind,
    strftime('%Y-%m-%dT%H:%M:%fZ', faults.injected_at / 1e9, 'unixepoch')    AS injected,
    round((told.opened_at - coalesce(faults.injected_at, told.began_at)) / 1e9, 3) AS detected_after_s,
    round((told.fixed_at  - coalesce(faults.injected_at, told.began_at)) / 1e9, 3) AS fixed_after_s,
    CASE WHEN told.state = 'resolved' THEN
    round((told.closed_at - coalesce(faults.injected_at, told.began_at)) / 1e9, 3) END AS proved_after_s
FROM told
LEFT JOIN nodes  ON nodes.number = told.node
LEFT JOIN faults ON faults.id = told.fault;
