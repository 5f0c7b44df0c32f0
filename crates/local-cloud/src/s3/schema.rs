//! The tables of S3's database. [`super::bucket`], [`super::object`], [`super::multipart`] and [`super::outbox`] read and
//! write them.

pub(super) const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS s3_buckets (
        id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, name TEXT NOT NULL, region TEXT NOT NULL,
        created_ms INTEGER NOT NULL, versioning TEXT NOT NULL, tags TEXT NOT NULL, settings TEXT NOT NULL,
        UNIQUE (account, name)
    );
    -- rank: -1 for the first version of a key, and one less for each newer one.
    CREATE TABLE IF NOT EXISTS s3_versions (
        bucket INTEGER NOT NULL, key BLOB NOT NULL, rank INTEGER NOT NULL, version TEXT NOT NULL,
        is_latest INTEGER NOT NULL, is_marker INTEGER NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
        modified_ms INTEGER NOT NULL, head TEXT NOT NULL, parts TEXT NOT NULL,
        PRIMARY KEY (bucket, key, rank)
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX IF NOT EXISTS s3_versions_by_id ON s3_versions (bucket, key, version);
    CREATE INDEX IF NOT EXISTS s3_current ON s3_versions (bucket, key, rank) WHERE is_latest = 1 AND is_marker = 0;
    CREATE TABLE IF NOT EXISTS s3_discarded (file TEXT PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS s3_uploads (
        rank INTEGER PRIMARY KEY AUTOINCREMENT, bucket INTEGER NOT NULL, key BLOB NOT NULL, id TEXT NOT NULL UNIQUE,
        started_ms INTEGER NOT NULL, head TEXT NOT NULL, checksum TEXT NOT NULL
    );
    CREATE INDEX IF NOT EXISTS s3_uploads_in_order ON s3_uploads (bucket, key, rank);
    CREATE TABLE IF NOT EXISTS s3_parts (
        upload INTEGER NOT NULL, number INTEGER NOT NULL, etag TEXT NOT NULL, modified_ms INTEGER NOT NULL,
        part TEXT NOT NULL,
        PRIMARY KEY (upload, number)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS s3_outbox (
        id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, arn TEXT NOT NULL, message TEXT NOT NULL,
        tries INTEGER NOT NULL, due_ms INTEGER NOT NULL
    );
";
