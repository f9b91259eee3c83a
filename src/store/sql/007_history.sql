-- Samples in coarser steps, so that raw ones need not be kept for ever: one row per node, metric and minute or hour.
CREATE TABLE rollups (
    node   INTEGER NOT NULL, -- nodes.number
    metric TEXT    NOT NULL,
    step_s INTEGER NOT NULL, -- 60 or 3600
    at     INTEGER NOT NULL, -- when the step begins
    least  REAL    NOT NULL,
    most   REAL    NOT NULL,
    mean   REAL    NOT NULL,
    last   REAL    NOT NULL,
    count  INTEGER NOT NULL, -- of samples
    PRIMARY KEY (node, metric, step_s, at)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollups_by_age ON rollups (step_s, at);

-- How far that has come: 'minute' and 'hour': everything before is in rollups; 'raw': samples before are gone.
CREATE TABLE history (
    what TEXT    PRIMARY KEY,
    at   INTEGER NOT NULL
) STRICT;

-- What was applied is told by its checksum, too (CRC-32 of the step's text); NULL: applied before there was one.
ALTER TABLE migrations ADD COLUMN checksum INTEGER;

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
