//! The tables of `buffer.sqlite`.

use crate::sqlite::Format;

pub(super) static FORMAT: Format = Format {
    what: "table buffer",
    application_id: 0x4d52_5442, // "MRTB"
    version: 3,
    schema: "
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
            last INTEGER NOT NULL,
            name TEXT NOT NULL            -- its file's, drawn at the seal
        ) STRICT;

        -- The table's files, each under the table's folder.
        CREATE TABLE files (
            path TEXT PRIMARY KEY,
            rows INTEGER NOT NULL,
            bytes INTEGER NOT NULL,
            filed_at INTEGER NOT NULL,    -- UTC microseconds
            left_at INTEGER               -- since when it is no part of the table; listed until it is gone
        ) STRICT;
        CREATE INDEX leaving ON files (left_at) WHERE left_at IS NOT NULL;

        -- Files that are being made of others, and are no part of the table yet.
        CREATE TABLE drafts (path TEXT PRIMARY KEY) STRICT;

        -- Accepted rows that cannot be read.
        CREATE TABLE unreadable (
            id INTEGER PRIMARY KEY,       -- as it was in `rows`
            accepted_at INTEGER NOT NULL,
            body BLOB NOT NULL,
            reason TEXT NOT NULL,
            found_at INTEGER NOT NULL
        ) STRICT;

        -- Files that were missing or damaged, and were taken out of the list.
        CREATE TABLE lost (
            path TEXT PRIMARY KEY,
            rows INTEGER NOT NULL,
            reason TEXT NOT NULL,
            lost_at INTEGER NOT NULL
        ) STRICT;

        -- Frames whose rows left with their time.
        CREATE TABLE retired (
            stream TEXT NOT NULL,
            epoch INTEGER NOT NULL,
            model TEXT NOT NULL,
            frames INTEGER NOT NULL,
            PRIMARY KEY (stream, epoch, model)
        ) STRICT, WITHOUT ROWID;

        -- How often hours left with their time, and the newest of them; no row before the first.
        CREATE TABLE boundary (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            steps INTEGER NOT NULL,
            last_hour INTEGER NOT NULL
        ) STRICT;
    ",
    upgrades: &[FROM_1, FROM_2],
};

/// Version 1 named a file by when its buffer was made and by its batch's number; what is sealed keeps that name.
const FROM_1: &str = "
    ALTER TABLE batches RENAME TO numbered;
    CREATE TABLE batches (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        hour INTEGER NOT NULL,
        last INTEGER NOT NULL,
        name TEXT NOT NULL
    ) STRICT;
    INSERT INTO batches
        SELECT id, hour, last, printf('part-%013d-%010d', made_at, id) FROM numbered, origin;
    DROP TABLE numbered;
    DROP TABLE origin;

    ALTER TABLE files ADD COLUMN left_at INTEGER;
    CREATE INDEX leaving ON files (left_at) WHERE left_at IS NOT NULL;
    CREATE TABLE drafts (path TEXT PRIMARY KEY) STRICT;
    CREATE TABLE unreadable (
        id INTEGER PRIMARY KEY,
        accepted_at INTEGER NOT NULL,
        body BLOB NOT NULL,
        reason TEXT NOT NULL,
        found_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE lost (
        path TEXT PRIMARY KEY,
        rows INTEGER NOT NULL,
        reason TEXT NOT NULL,
        lost_at INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE retired (
        stream TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        model TEXT NOT NULL,
        frames INTEGER NOT NULL,
        PRIMARY KEY (stream, epoch, model)
    ) STRICT, WITHOUT ROWID;
";

/// Version 2 had no boundary, and nothing left it with its time.
const FROM_2: &str = "
    CREATE TABLE boundary (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        steps INTEGER NOT NULL,
        last_hour INTEGER NOT NULL
    ) STRICT;
";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::delivery::tests::{frame_ids, row};
    use crate::delivery::{Gone, buffer, gone};
    use crate::sqlite::Database;

    /// What a version 1 buffer was filled with.
    static VERSION_1: Format = Format {
        version: 1,
        schema: include_str!("testdata/buffer-1.sql"),
        upgrades: &[],
        ..FORMAT
    };

    static VERSION_2: Format = Format { version: 2, upgrades: &[FROM_1], ..FORMAT };

    /// The columns of each table.
    fn columns(database: &Database) -> BTreeMap<String, String> {
        let sql = "SELECT m.name, group_concat(c.name || ' ' || c.type || c.\"notnull\" || c.pk)
                   FROM sqlite_schema m, pragma_table_info(m.name) c GROUP BY m.name";
        let read = database.read("read", |transaction| {
            let mut select = transaction.prepare(sql)?;
            let tables = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            tables.collect()
        });
        read.unwrap()
    }

    fn old_buffer(table: &Path) {
        let bodies: Vec<_> =
            (0..3).map(|seq| serde_json::to_string(&row("gate", seq, 0)).unwrap()).collect();
        let old = Database::open(&buffer::buffer_path(table), &VERSION_1).unwrap();
        let now = crate::time::CaptureTime(1_795_262_000_000_000);
        buffer::insert(&old, &bodies, now, u64::MAX).unwrap();
        old.write("seal", |transaction| {
            transaction.execute_batch(
                "UPDATE origin SET made_at = 1795262000000;
                 INSERT INTO batches SELECT 7, hour, 2 FROM hours",
            )
        })
        .unwrap();
    }

    #[test]
    fn a_buffer_of_version_1_is_taken_along_with_the_name_of_what_it_sealed() {
        let table = tempfile::tempdir().unwrap();
        old_buffer(table.path());
        assert_eq!(frame_ids(table.path()).len(), 3, "a reader upgrades nothing");
        let path = buffer::buffer_path(table.path());
        drop(Database::open(&path, &VERSION_2).unwrap());
        assert_eq!(gone(&path).unwrap(), Gone::default(), "nothing left it with its time");
        let upgraded = Database::open(&path, &FORMAT).unwrap();
        let batch = buffer::sealed(&upgraded).unwrap().unwrap();
        assert!(batch.path().ends_with("/part-1795262000000-0000000007.parquet"), "{batch:?}");
        assert_eq!(frame_ids(table.path()).len(), 3);

        let fresh = tempfile::tempdir().unwrap();
        let fresh = Database::open(&buffer::buffer_path(fresh.path()), &FORMAT).unwrap();
        assert_eq!(columns(&upgraded), columns(&fresh));
    }
}
