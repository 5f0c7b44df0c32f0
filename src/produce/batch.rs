//! Records gathered up to the limits of one PutRecords request.

/// Limits of one request. The default is PutRecords' own: 500 records, 10 MiB with partition keys.
/// Source: PutRecords, Kinesis API reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// Records at most.
    pub records: usize,
    /// Data and partition keys at most, in bytes.
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

/// Items whose sizes add up within [`BatchLimits`].
#[derive(Debug, Clone)]
pub struct Batch<T> {
    items: Vec<T>,
    bytes: usize,
    limits: BatchLimits,
}

impl<T> Batch<T> {
    /// An empty batch.
    pub fn new(limits: BatchLimits) -> Self {
        Self {
            items: Vec::new(),
            bytes: 0,
            limits,
        }
    }

    /// Whether an item of `size` bytes may still come in. An empty batch takes any item: a record that alone is
    /// over the limit is for the service to refuse, not to be lost here.
    pub fn fits(&self, size: usize) -> bool {
        self.items.is_empty()
            || (self.items.len() < self.limits.records && self.bytes + size <= self.limits.bytes)
    }

    /// Takes `item`. The caller has asked [`Batch::fits`].
    pub fn push(&mut self, item: T, size: usize) {
        self.items.push(item);
        self.bytes += size;
    }

    /// How many items it holds.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The sum of the sizes, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The items, in the order they came.
    pub fn into_items(self) -> Vec<T> {
        self.items
    }
}
