-- What an incident's line was about, in words that need no reading: the remedy of the plan in force, and the verdict on the newest
-- command. "none" where there is none, and in the lines of commands.
ALTER TABLE timeline ADD COLUMN remedy  TEXT NOT NULL DEFAULT 'none';
ALTER TABLE timeline ADD COLUMN verdict TEXT NOT NULL DEFAULT 'none';
