//! The output of an operation, before it is written in a protocol.

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Out {
    Text(String),
    Number(f64),
    Whole(i64),
    Flag(bool),
    /// Milliseconds since the Unix epoch.
    Time(i64),
    List(Vec<Out>),
    Struct(Vec<(&'static str, Out)>),
    /// A map with arbitrary keys.
    Map(Vec<(String, Out)>),
}
