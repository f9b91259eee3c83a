-- Nodes of the world model, and what only they can be given: faults that go over their time in a shape other than a step.
ALTER TABLE nodes  ADD COLUMN synthetic INTEGER NOT NULL DEFAULT 0; -- 0 or 1
ALTER TABLE faults ADD COLUMN shape     TEXT    NOT NULL DEFAULT 'step';
ALTER TABLE faults ADD COLUMN period_ns INTEGER NOT NULL DEFAULT 0; -- of the shape; 0: it has none
