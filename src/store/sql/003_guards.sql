-- What is remembered of a node beyond its incidents, so that no guard forgets: one row per node.
CREATE TABLE targets (
    node             INTEGER PRIMARY KEY, -- nodes.number
    ended_at         INTEGER,             -- end of the newest action on it, or of its verification
    trouble_at       INTEGER,             -- it was in trouble until then
    maintained_until INTEGER,             -- a person keeps it to himself until then
    changes          TEXT    NOT NULL,    -- instants at which its health changed, the oldest first, with blanks between
    streak           INTEGER NOT NULL,    -- actions since it was last well for long: what back-off counts
    flapping         INTEGER NOT NULL     -- 0 or 1
) STRICT;

-- Keys under which rate limits count (of the rule's name and of its meaning), and whether a person had approved it.
ALTER TABLE commands ADD COLUMN rule      INTEGER NOT NULL DEFAULT 0;
ALTER TABLE commands ADD COLUMN meaning   INTEGER NOT NULL DEFAULT 0;
ALTER TABLE commands ADD COLUMN by_person INTEGER NOT NULL DEFAULT 0;

-- The number of the present plan, and until when a person's approval of it is good.
ALTER TABLE incidents ADD COLUMN plan           INTEGER NOT NULL DEFAULT 0;
ALTER TABLE incidents ADD COLUMN approved_until INTEGER;

-- Unhealthy nodes that a person knew of when he reset the breaker.
ALTER TABLE control ADD COLUMN forgiven INTEGER NOT NULL DEFAULT 0;
