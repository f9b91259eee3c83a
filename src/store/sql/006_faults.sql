-- Metrics that tell one cause from another, and of each fault whether its end was seen in the metric that it had moved.
ALTER TABLE samples RENAME COLUMN node_cpu_utilization TO neighbour_cpu_utilization;
UPDATE evidence SET metric = 'neighbour_cpu_utilization' WHERE metric = 'node_cpu_utilization';
ALTER TABLE samples ADD COLUMN service_exit        REAL;
ALTER TABLE samples ADD COLUMN offered_load        REAL;
ALTER TABLE samples ADD COLUMN storage_error_ratio REAL;
ALTER TABLE samples ADD COLUMN network_loss        REAL;
ALTER TABLE faults ADD COLUMN removal  TEXT NOT NULL DEFAULT 'waiting';
ALTER TABLE faults ADD COLUMN restored REAL; -- that metric, when the removal was seen
-- Nodes that run a program of one's own. The node of a control_plane_stall is 4294967295: it has none.
ALTER TABLE nodes ADD COLUMN program INTEGER NOT NULL DEFAULT 0;
