//! What a metric is of: its namespace and dimensions.

/// The kinds of resources whose metrics are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Stream,
    /// Metrics of enhanced monitoring: each is charged.
    Shard,
    /// A registered consumer: enhanced fan-out.
    Consumer,
    Function,
    /// All functions of the account in the region.
    Account,
    /// An event source mapping. Its metrics must be switched on (`MetricsConfig`).
    Mapping,
    Queue,
    Table,
}

impl Kind {
    #[cfg(test)]
    pub(super) const ALL: [Self; 8] = [
        Self::Stream,
        Self::Shard,
        Self::Consumer,
        Self::Function,
        Self::Account,
        Self::Mapping,
        Self::Queue,
        Self::Table,
    ];

    pub fn namespace(self) -> &'static str {
        match self {
            Self::Stream | Self::Shard | Self::Consumer => "AWS/Kinesis",
            Self::Function | Self::Account | Self::Mapping => "AWS/Lambda",
            Self::Queue => "AWS/SQS",
            Self::Table => "AWS/DynamoDB",
        }
    }

    /// The dimension whose value is the name of the resource; `None` if there is none.
    pub fn dimension(self) -> Option<&'static str> {
        match self {
            Self::Stream => Some("StreamName"),
            Self::Shard => Some("ShardId"),
            Self::Consumer => Some("ConsumerName"),
            Self::Function => Some("FunctionName"),
            Self::Account => None,
            Self::Mapping => Some("EventSourceMappingUUID"),
            Self::Queue => Some("QueueName"),
            Self::Table => Some("TableName"),
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Shard => "shard",
            Self::Consumer => "consumer",
            Self::Function => "function",
            Self::Account => "account",
            Self::Mapping => "mapping",
            Self::Queue => "queue",
            Self::Table => "table",
        }
    }
}

/// A resource that has metrics.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    Stream(String),
    Shard {
        stream: String,
        shard: String,
    },
    Consumer {
        stream: String,
        consumer: String,
    },
    Function(String),
    /// All functions of the account in the region.
    Account,
    Mapping {
        /// The UUID.
        id: String,
        /// The function that it invokes.
        function: String,
    },
    Queue(String),
    Table(String),
    /// What a program publishes in a namespace of its own.
    Custom {
        namespace: String,
        dimensions: Vec<(String, String)>,
    },
}

impl Resource {
    /// `None` for a namespace of the user's own.
    pub fn kind(&self) -> Option<Kind> {
        Some(match self {
            Self::Stream(_) => Kind::Stream,
            Self::Shard { .. } => Kind::Shard,
            Self::Consumer { .. } => Kind::Consumer,
            Self::Function(_) => Kind::Function,
            Self::Account => Kind::Account,
            Self::Mapping { .. } => Kind::Mapping,
            Self::Queue(_) => Kind::Queue,
            Self::Table(_) => Kind::Table,
            Self::Custom { .. } => return None,
        })
    }

    /// The word for its kind.
    pub fn word(&self) -> &'static str {
        self.kind().map_or("namespace", Kind::word)
    }

    /// Its name. A mapping's is its UUID, that of metrics of the user's own the namespace; empty for the account.
    pub fn name(&self) -> &str {
        match self {
            Self::Stream(name) | Self::Function(name) | Self::Queue(name) | Self::Table(name) => name,
            Self::Shard { shard, .. } => shard,
            Self::Consumer { consumer, .. } => consumer,
            Self::Account => "",
            Self::Mapping { id, .. } => id,
            Self::Custom { namespace, .. } => namespace,
        }
    }

    /// Name of the stream that it is, or that it belongs to.
    pub fn stream(&self) -> Option<&str> {
        match self {
            Self::Stream(name) => Some(name),
            Self::Shard { stream, .. } | Self::Consumer { stream, .. } => Some(stream),
            _ => None,
        }
    }

    /// The shard, if it is one.
    pub fn shard(&self) -> Option<&str> {
        match self {
            Self::Shard { shard, .. } => Some(shard),
            _ => None,
        }
    }

    pub fn namespace(&self) -> &str {
        match self {
            Self::Custom { namespace, .. } => namespace,
            _ => self.kind().map_or("", Kind::namespace),
        }
    }

    /// Names and values of its dimensions.
    pub fn dimensions(&self) -> Vec<(&str, &str)> {
        if let Self::Custom { dimensions, .. } = self {
            let pairs = dimensions.iter();
            return pairs
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
        }
        let own = self
            .kind()
            .and_then(Kind::dimension)
            .map(|name| (name, self.name()));
        // A shard and a consumer are dimensions besides their stream's.
        let stream = match self {
            Self::Stream(_) => None,
            _ => self.stream().map(|stream| ("StreamName", stream)),
        };
        stream.into_iter().chain(own).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_are_those_of_the_service() {
        let shard = Resource::Shard {
            stream: "orders".into(),
            shard: "shardId-000000000007".into(),
        };
        assert_eq!(
            shard.dimensions(),
            [("StreamName", "orders"), ("ShardId", "shardId-000000000007")]
        );
        let consumer = Resource::Consumer {
            stream: "orders".into(),
            consumer: "billing".into(),
        };
        assert_eq!(
            consumer.dimensions(),
            [("StreamName", "orders"), ("ConsumerName", "billing")]
        );
        assert_eq!(Resource::Account.dimensions(), []);
        let stream = Resource::Stream("orders".into());
        assert_eq!(stream.dimensions(), [("StreamName", "orders")]);
        let custom = Resource::Custom {
            namespace: "App".into(),
            dimensions: vec![("Environment".into(), "dev".into())],
        };
        assert_eq!(
            (custom.namespace(), custom.dimensions()),
            ("App", vec![("Environment", "dev")])
        );
    }
}
