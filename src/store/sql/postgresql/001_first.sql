-- The schema of a store, as SQLite's is (docs/store.md): instants are bigint nanoseconds since 1970-01-01T00:00:00Z on the
-- control plane's clock, NULL for "not yet"; durations are bigint nanoseconds and end in _ns; flags are 0 or 1; boot ids are
-- 16 hex digits. Views for people have timestamps and seconds.

CREATE TABLE homeostat_migrations (
    version    bigint PRIMARY KEY,
    name       text   NOT NULL,
    checksum   bigint NOT NULL, -- CRC-32 of the step's text
    applied_at bigint NOT NULL
);

-- Which control plane writes, and the newest batch that was committed: whose connection was lost between COMMIT and its answer
-- looks here for how it ended.
CREATE TABLE homeostat_session (
    id           bigint PRIMARY KEY CHECK (id = 1),
    session      text   NOT NULL,
    last_session text   NOT NULL,
    last_batch   bigint NOT NULL
);
INSERT INTO homeostat_session VALUES (1, '', '', 0);

-- Each transaction begins with this: it fails once another control plane has taken over.
CREATE FUNCTION homeostat_batch(of_session text, number bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE homeostat_session SET last_session = of_session, last_batch = number WHERE id = 1 AND session = of_session;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'another control plane has taken over the store' USING ERRCODE = 'HS001';
    END IF;
END
$$;

CREATE TABLE nodes (
    number      bigint PRIMARY KEY, -- 0, 1, 2 ... in order of enrolment, never reused
    name        text   NOT NULL UNIQUE,
    role        text   NOT NULL,
    zone        text   NOT NULL,
    address     text   NOT NULL,
    calls       text   NOT NULL, -- names of the nodes it calls, with blanks between
    boot        text   NOT NULL,
    sequence    bigint NOT NULL, -- the highest stored of this boot
    interval_ns bigint NOT NULL,
    seen_at     bigint,
    gone        bigint NOT NULL,
    synthetic   bigint NOT NULL, -- of the world model
    program     bigint NOT NULL  -- runs a program of one's own
);

CREATE TABLE incidents (
    id              bigint PRIMARY KEY,
    node            bigint NOT NULL, -- nodes.number
    finding         text   NOT NULL, -- the detector's name
    severity        text   NOT NULL,
    state           text   NOT NULL,
    remedy          text   NOT NULL,
    outcome         text   NOT NULL,
    verdict         text   NOT NULL,
    block           text   NOT NULL,
    why             text   NOT NULL,
    began_at        bigint,
    opened_at       bigint,
    planned_at      bigint,
    acted_at        bigint,
    answer_by       bigint,
    ended_at        bigint,
    verify_from     bigint,
    verify_by       bigint,
    healthy_since   bigint,
    closed_at       bigint,
    approved_until  bigint,
    hold_until      bigint,
    planner_by      bigint,
    blocked_at      bigint,
    blocked_last_at bigint,
    blocked_count   bigint NOT NULL,
    command         bigint NOT NULL, -- commands.id of the newest, 0 if there was none
    detector        bigint,          -- its place in the policy, NULL once the policy has lost it
    fresh_samples   bigint NOT NULL,
    attempts        bigint NOT NULL,
    reopened        bigint NOT NULL,
    plan            bigint NOT NULL,
    rung            bigint NOT NULL, -- of the ladder, from 0
    evidence_count  bigint NOT NULL,
    proposed        bigint NOT NULL, -- from here on 0 or 1
    approved        bigint NOT NULL,
    acknowledged    bigint NOT NULL,
    explained       bigint NOT NULL,
    local_cause     bigint NOT NULL
);
CREATE INDEX incidents_by_node  ON incidents (node);
CREATE INDEX incidents_by_state ON incidents (state, closed_at);

-- What the detector compared, and what was seen: `metric comparison number`, of its growth a second if rate is 1.
CREATE TABLE evidence (
    incident   bigint NOT NULL,
    place      bigint NOT NULL, -- in the detector's condition, from 0
    metric     text   NOT NULL,
    comparison text   NOT NULL, -- > >= < <=
    number     double precision NOT NULL,
    rate       bigint NOT NULL,
    before     double precision, -- when the finding fired
    after      double precision, -- the newest that verification has seen
    PRIMARY KEY (incident, place)
);

CREATE TABLE timeline (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident bigint NOT NULL,
    at       bigint NOT NULL,
    step     text   NOT NULL,
    state    text   NOT NULL,
    remedy   text   NOT NULL,
    verdict  text   NOT NULL,
    text     text   NOT NULL
);
CREATE INDEX timeline_by_incident ON timeline (incident);

CREATE TABLE commands (
    id         bigint PRIMARY KEY, -- epoch * 4294967296 + a number that rises for ever
    epoch      bigint NOT NULL,
    incident   bigint NOT NULL,
    node       bigint NOT NULL,
    boot       text   NOT NULL,
    remedy     text   NOT NULL,
    attempt    bigint NOT NULL,
    ordered_at bigint NOT NULL,
    expires_at bigint,
    answer_by  bigint,
    ended_at   bigint,
    outcome    text   NOT NULL,
    rule       bigint NOT NULL, -- keys under which rate limits count
    meaning    bigint NOT NULL,
    by_person  bigint NOT NULL,
    took_s     double precision,
    detail     text   NOT NULL
);
CREATE INDEX commands_by_incident ON commands (incident);
CREATE INDEX commands_by_node     ON commands (node);
CREATE INDEX commands_by_order    ON commands (ordered_at);

-- Why an incident was not acted upon: one row per incident and reason.
CREATE TABLE blocked (
    incident bigint NOT NULL,
    reason   text   NOT NULL,
    node     bigint NOT NULL,
    remedy   text   NOT NULL, -- the one stopped last
    first_at bigint NOT NULL,
    last_at  bigint NOT NULL,
    count    bigint NOT NULL,
    PRIMARY KEY (incident, reason)
);
CREATE INDEX blocked_by_last ON blocked (last_at);

-- What is remembered of a node beyond its incidents, so that no guard forgets: one row per node.
CREATE TABLE targets (
    node             bigint PRIMARY KEY, -- nodes.number
    ended_at         bigint,
    trouble_at       bigint,
    maintained_until bigint,
    changes          text   NOT NULL,
    streak           bigint NOT NULL,
    flapping         bigint NOT NULL
);

CREATE TABLE faults (
    id          bigint PRIMARY KEY,
    node        bigint NOT NULL, -- 4294967295: the control plane itself
    kind        text   NOT NULL,
    state       text   NOT NULL,
    effect      text   NOT NULL,
    removal     text   NOT NULL,
    intensity   double precision NOT NULL,
    shape       text   NOT NULL,
    period_ns   bigint NOT NULL,
    before      double precision,
    after       double precision,
    restored    double precision,
    lease_ns    bigint NOT NULL,
    asked_at    bigint NOT NULL,
    injected_at bigint,
    ended_at    bigint,
    reason      text   NOT NULL
);
CREATE INDEX faults_by_node ON faults (node, injected_at);

-- Reports that a node agent had to give up before the store had them: first..last of its boot.
CREATE TABLE gaps (
    node   bigint NOT NULL,
    boot   text   NOT NULL,
    first  bigint NOT NULL, -- sequence numbers
    last   bigint NOT NULL,
    reason text   NOT NULL, -- spool_full, damaged
    at     bigint NOT NULL, -- when we were told first
    PRIMARY KEY (node, boot, first)
);

-- One row per report, appended by COPY; NULL where the report had no such metric. Rows come nearly in the order of time, so a
-- BRIN index of some kilobytes leads to those of a span.
CREATE TABLE samples (
    node                      bigint NOT NULL,
    at                        bigint NOT NULL,
    boot                      text   NOT NULL,
    sequence                  bigint NOT NULL,
    cpu_utilization           double precision,
    memory_bytes              double precision,
    service_up                double precision,
    service_starts            double precision,
    request_rate              double precision,
    request_latency           double precision,
    error_ratio               double precision,
    storage_latency           double precision,
    network_latency           double precision,
    filesystem_utilization    double precision,
    neighbour_cpu_utilization double precision,
    node_memory_utilization   double precision,
    service_exit              double precision,
    offered_load              double precision,
    storage_error_ratio       double precision,
    network_loss              double precision
);
CREATE INDEX samples_by_time ON samples USING brin (at) WITH (pages_per_range = 32, autosummarize = on);

CREATE TABLE policies (
    version bigint PRIMARY KEY,
    at      bigint NOT NULL,
    text    text   NOT NULL
);

-- The one row of things that outlive the control plane.
CREATE TABLE control (
    id            bigint PRIMARY KEY CHECK (id = 1),
    epoch         bigint NOT NULL,
    next_incident bigint NOT NULL,
    next_command  bigint NOT NULL,
    forgiven      bigint NOT NULL,
    paused        bigint NOT NULL,
    breaker_open  bigint NOT NULL,
    at            bigint           -- the newest durable instant
);

-- Nanoseconds as people read them.
CREATE FUNCTION homeostat_time(ns bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
    $$ SELECT timestamptz '1970-01-01 00:00:00+00' + ns / 1000 * interval '1 microsecond' $$;

-- Incidents as one would tell them. The fault is the newest one injected on the node before the incident opened, if it
-- opened within the fault's lease and ten seconds; the ..._after_s count from its injection, or else from began_at.
CREATE VIEW incidents_for_people AS
WITH told AS (
    SELECT incidents.*,
        CASE WHEN state = 'resolved' AND verdict = 'effective' THEN ended_at END AS fixed_at,
        (SELECT f.id FROM faults AS f
         WHERE f.node = incidents.node AND f.injected_at <= incidents.opened_at
           AND incidents.opened_at <= f.injected_at + f.lease_ns + 10000000000
         ORDER BY f.injected_at DESC LIMIT 1) AS fault
    FROM incidents
)
SELECT
    told.id,
    coalesce(nodes.name, 'number ' || told.node) AS node,
    told.finding, told.severity, told.state, told.remedy, told.verdict, told.block,
    told.attempts, told.reopened,
    homeostat_time(told.began_at)      AS began,
    homeostat_time(told.opened_at)     AS opened,
    homeostat_time(told.acted_at)      AS acted,
    homeostat_time(told.fixed_at)      AS fixed,
    homeostat_time(told.closed_at)     AS closed,
    faults.id                          AS fault,
    faults.kind                        AS fault_kind,
    homeostat_time(faults.injected_at) AS injected,
    round((told.opened_at - coalesce(faults.injected_at, told.began_at)) / 1e9, 3) AS detected_after_s,
    round((told.fixed_at  - coalesce(faults.injected_at, told.began_at)) / 1e9, 3) AS fixed_after_s,
    CASE WHEN told.state = 'resolved' THEN
    round((told.closed_at - coalesce(faults.injected_at, told.began_at)) / 1e9, 3) END AS proved_after_s
FROM told
LEFT JOIN nodes  ON nodes.number = told.node
LEFT JOIN faults ON faults.id = told.fault;
