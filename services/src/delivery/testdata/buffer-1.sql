CREATE TABLE rows (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    accepted_at INTEGER NOT NULL, -- UTC microseconds
    hour INTEGER NOT NULL,        -- the partition: whole hours since 1970, UTC
    body TEXT NOT NULL            -- the row as JSON
) STRICT;
CREATE INDEX rows_by_hour ON rows (hour);

-- How much of each hour is here.
CREATE TABLE hours (
    hour INTEGER PRIMARY KEY,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT;
CREATE TRIGGER row_in AFTER INSERT ON rows BEGIN
    INSERT INTO hours VALUES (new.hour, 1, octet_length(new.body))
    ON CONFLICT (hour) DO UPDATE SET rows = rows + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER row_out AFTER DELETE ON rows BEGIN
    UPDATE hours SET rows = rows - 1, bytes = bytes - octet_length(old.body)
    WHERE hour = old.hour;
    DELETE FROM hours WHERE hour = old.hour AND rows = 0;
END;

-- Batches that are sealed and not yet filed: an hour's rows up to the id `last`. Ids only grow, so no
-- row joins a batch later.
CREATE TABLE batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    hour INTEGER NOT NULL,
    last INTEGER NOT NULL
) STRICT;

-- The table's files, each under the table's folder.
CREATE TABLE files (
    path TEXT PRIMARY KEY,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    filed_at INTEGER NOT NULL
) STRICT;

-- When this buffer was made, in UTC milliseconds: part of its files' names, so that a new buffer beside
-- an old one's files never replaces one of them.
CREATE TABLE origin (made_at INTEGER NOT NULL) STRICT;
INSERT INTO origin VALUES (CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER));
