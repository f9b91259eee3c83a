-- Samples in coarser steps, so that raw ones need not be kept for ever: one row per node, metric and minute or hour.
CREATE TABLE rollups (
    node   bigint NOT NULL, -- nodes.number
    metric text   NOT NULL,
    step_s bigint NOT NULL, -- 60 or 3600
    at     bigint NOT NULL, -- when the step begins
    least  double precision NOT NULL,
    most   double precision NOT NULL,
    mean   double precision NOT NULL,
    last   double precision NOT NULL,
    count  bigint NOT NULL, -- of samples
    PRIMARY KEY (node, metric, step_s, at)
);
CREATE INDEX rollups_by_age ON rollups (step_s, at);

-- How far that has come: 'minute' and 'hour': everything before is in rollups; 'raw': samples before are gone.
CREATE TABLE history (
    what text   PRIMARY KEY,
    at   bigint NOT NULL
);

-- How recovery goes, by fault: of incidents with a known fault.
CREATE VIEW recovery_by_fault AS
SELECT fault_kind, remedy, verdict, count(*) AS incidents,
    round(avg(detected_after_s), 3) AS detected_after_s,
    round(avg(fixed_after_s), 3)    AS fixed_after_s,
    round(max(fixed_after_s), 3)    AS fixed_after_most_s
FROM incidents_for_people WHERE fault_kind IS NOT NULL GROUP BY fault_kind, remedy, verdict;

CREATE VIEW incident_summary AS
SELECT finding, state, verdict, count(*) AS incidents, sum(attempts) AS attempts, sum(reopened) AS reopened,
    round(avg(fixed_after_s), 3) AS fixed_after_s, max(opened) AS newest
FROM incidents_for_people GROUP BY finding, state, verdict;
