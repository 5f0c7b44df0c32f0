//! The views, their columns, and how they lead to one another.

use super::Row;

/// A view that is reached without another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    Streams,
    Functions,
    Mappings,
    Queues,
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum View {
    Streams,
    /// The shards of a stream.
    Shards {
        stream: String,
    },
    /// The newest records of a shard.
    Records {
        stream: String,
        shard: String,
    },
    Functions,
    /// All event source mappings, or those of a function.
    Mappings {
        function: Option<String>,
    },
    Queues,
}

/// A column of a view.
#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    /// Name in JSON.
    pub id: &'static str,
    pub title: &'static str,
    /// Width in characters; of the column that grows, the least.
    pub width: u16,
    /// Columns with a higher rank are the first to go where there is no room; 0 always stays.
    pub rank: u8,
    pub grows: bool,
    /// Whether it holds numbers, which are aligned to the right.
    pub is_number: bool,
}

const fn name(id: &'static str, title: &'static str, width: u16) -> Column {
    Column {
        id,
        title,
        width,
        rank: 0,
        grows: true,
        is_number: false,
    }
}

const fn text(id: &'static str, title: &'static str, width: u16, rank: u8) -> Column {
    Column {
        id,
        title,
        width,
        rank,
        grows: false,
        is_number: false,
    }
}

const fn number(id: &'static str, title: &'static str, width: u16, rank: u8) -> Column {
    Column {
        id,
        title,
        width,
        rank,
        grows: false,
        is_number: true,
    }
}

static STREAMS: &[Column] = &[
    name("name", "STREAM", 12),
    text("status", "STATUS", 8, 6),
    number("open_shards", "SHARDS", 6, 4),
    number("records_in_per_second", "IN/S", 7, 0),
    number("bytes_in_per_second", "BYTES IN/S", 10, 2),
    number("write_limit_used", "USED", 11, 1),
    number("records_out_per_second", "OUT/S", 7, 3),
    number("bytes_out_per_second", "BYTES OUT/S", 11, 5),
    number("iterator_age_ms", "LAG", 8, 1),
    number("throttled", "THROTTLED", 9, 2),
    number("failed", "FAILED", 6, 4),
];

static SHARDS: &[Column] = &[
    name("shard_id", "SHARD", 20),
    text("state", "STATE", 6, 4),
    number("share_of_keys", "KEYS", 5, 5),
    number("records_in_per_second", "IN/S", 7, 0),
    number("bytes_in_per_second", "BYTES IN/S", 10, 2),
    number("write_limit_used", "USED", 11, 1),
    number("records_out_per_second", "OUT/S", 7, 3),
    number("bytes_out_per_second", "BYTES OUT/S", 11, 5),
    number("iterator_age_ms", "LAG", 8, 1),
    number("throttled", "THROTTLED", 9, 2),
];

static RECORDS: &[Column] = &[
    text("arrival", "ARRIVED", 12, 0),
    text("partition_key", "KEY", 16, 1),
    number("size_bytes", "SIZE", 8, 2),
    name("data", "DATA", 12),
];

static FUNCTIONS: &[Column] = &[
    name("name", "FUNCTION", 14),
    text("runtime", "RUNTIME", 15, 5),
    number("invocations_per_second", "CALLS/S", 8, 0),
    number("errors", "ERRORS", 6, 1),
    number("throttled", "THROTTLED", 9, 3),
    number("duration_ms", "LONGEST", 8, 2),
    number("timeout_used", "USED", 11, 2),
    number("concurrency", "CONC", 5, 4),
    number("iterator_age_ms", "LAG", 8, 1),
];

static MAPPINGS: &[Column] = &[
    name("function", "FUNCTION", 14),
    text("source", "STREAM", 16, 0),
    text("state", "STATE", 9, 1),
    text("last_result", "LAST RESULT", 21, 3),
    number("read_per_second", "READ/S", 7, 4),
    number("failed", "FAILED", 6, 4),
    number("dropped", "DROPPED", 7, 5),
    number("iterator_age_ms", "LAG", 8, 1),
];

static QUEUES: &[Column] = &[
    name("name", "QUEUE", 14),
    number("messages", "MESSAGES", 8, 0),
    number("in_flight", "IN FLIGHT", 9, 2),
    number("sent_per_second", "SENT/S", 7, 1),
    number("deleted_per_second", "DELETED/S", 9, 3),
    number("oldest_message_ms", "OLDEST", 8, 1),
    number("retention_used", "USED", 11, 2),
];

impl Root {
    /// All, in the order of the picker.
    pub const ALL: [Self; 4] = [Self::Streams, Self::Functions, Self::Mappings, Self::Queues];

    pub fn name(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::Functions => "functions",
            Self::Mappings => "mappings",
            Self::Queues => "queues",
        }
    }

    pub fn view(self) -> View {
        match self {
            Self::Streams => View::Streams,
            Self::Functions => View::Functions,
            Self::Mappings => View::Mappings { function: None },
            Self::Queues => View::Queues,
        }
    }
}

impl View {
    /// What its rows are, in one word.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::Shards { .. } => "shards",
            Self::Records { .. } => "records",
            Self::Functions => "functions",
            Self::Mappings { .. } => "mappings",
            Self::Queues => "queues",
        }
    }

    /// The way to it, from the outside in.
    pub fn path(&self) -> Vec<String> {
        match self {
            Self::Streams => vec!["streams".into()],
            Self::Shards { stream } => vec!["streams".into(), stream.clone()],
            Self::Records { stream, shard } => vec!["streams".into(), stream.clone(), shard.clone()],
            Self::Functions => vec!["functions".into()],
            Self::Mappings { function: None } => vec!["mappings".into()],
            Self::Mappings {
                function: Some(function),
            } => vec!["functions".into(), function.clone(), "mappings".into()],
            Self::Queues => vec!["queues".into()],
        }
    }

    pub fn columns(&self) -> &'static [Column] {
        match self {
            Self::Streams => STREAMS,
            Self::Shards { .. } => SHARDS,
            Self::Records { .. } => RECORDS,
            Self::Functions => FUNCTIONS,
            Self::Mappings { .. } => MAPPINGS,
            Self::Queues => QUEUES,
        }
    }

    /// The view behind `row`; `None` if there is only its detail.
    pub fn of_row(&self, row: &Row) -> Option<Self> {
        match self {
            Self::Streams => Some(Self::Shards {
                stream: row.key.clone(),
            }),
            Self::Shards { stream } => Some(Self::Records {
                stream: stream.clone(),
                shard: row.key.clone(),
            }),
            Self::Functions => Some(Self::Mappings {
                function: Some(row.key.clone()),
            }),
            Self::Mappings { .. } => match row.cells.get(1) {
                Some(super::Cell::Text(stream)) => Some(Self::Shards {
                    stream: stream.clone(),
                }),
                _ => None,
            },
            Self::Records { .. } | Self::Queues => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_fits_into_forty_columns_without_its_optional_columns() {
        let shards = View::Shards { stream: "s".into() };
        let records = View::Records {
            stream: "s".into(),
            shard: "x".into(),
        };
        let views = Root::ALL.map(Root::view).into_iter().chain([shards, records]);
        for view in views {
            let fixed = view.columns().iter().filter(|column| column.rank == 0);
            let width: u16 = fixed.map(|column| column.width + 1).sum();
            assert!(width <= 40, "{view:?} {width}");
            assert_eq!(view.columns().iter().filter(|column| column.grows).count(), 1);
        }
    }
}
