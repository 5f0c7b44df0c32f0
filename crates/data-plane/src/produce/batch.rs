//! Batches of records within the limits of one PutRecords request.

/// Limits of one request. The default is PutRecords' own: 500 records, 10 MiB with partition keys.
/// Source: PutRecords, Kinesis API reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Maximum number of records.
    pub records: usize,
    /// Maximum size of data and partition keys, in bytes.
    pub bytes: usize,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self {
            records: 500,
            bytes: 10 * 1024 * 1024,
        }
    }
}

impl BatchLimits {
    /// Whether an item of `size` bytes fits beside `count` of `bytes` bytes in all. Any item fits alone: the service must
    /// reject a record that is too large on its own, so that it is reported.
    pub(super) fn fit(self, count: usize, bytes: usize, size: usize) -> bool {
        count == 0 || (count < self.records && bytes + size <= self.bytes)
    }
}

/// Items whose sizes add up within [`BatchLimits`].
#[derive(Debug, Clone)]
pub struct Batch<T> {
    items: Vec<T>,
    bytes: usize,
    limits: BatchLimits,
}

impl<T> Batch<T> {
    pub fn new(limits: BatchLimits) -> Self {
        Self {
            items: Vec::new(),
            bytes: 0,
            limits,
        }
    }

    /// Whether an item of `size` bytes fits, as [`BatchLimits::fit`] says.
    pub fn fits(&self, size: usize) -> bool {
        self.limits.fit(self.items.len(), self.bytes, size)
    }

    /// Adds `item`. The caller must check [`Batch::fits`] first.
    pub fn push(&mut self, item: T, size: usize) {
        self.items.push(item);
        self.bytes += size;
    }

    /// Number of items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Total size, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The items, in the order they were added.
    pub fn into_items(self) -> Vec<T> {
        self.items
    }
}
