-- Reports that a node agent had to give up before the store had them: first..last of its boot.
CREATE TABLE gaps (
    node   INTEGER NOT NULL, -- nodes.number
    boot   TEXT    NOT NULL,
    first  INTEGER NOT NULL, -- sequence numbers
    last   INTEGER NOT NULL,
    reason TEXT    NOT NULL, -- spool_full, damaged
    at     INTEGER NOT NULL, -- when we were told first
    PRIMARY KEY (node, boot, first)
) STRICT, WITHOUT ROWID;
