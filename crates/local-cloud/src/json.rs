//! A bound on the memory that the values of JSON bodies take. A tree of values takes up to a hundred times the bytes of
//! its text, so a limit on bodies does not bound it.

use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bodies up to this length need no permit: their values take a few MiB.
const SMALL: usize = 64 << 10;
/// Memory for the values of one body, in KiB.
const MAX_KIB: u32 = 256 << 10;
/// Permits for the values of all bodies, in KiB.
static MEMORY: Semaphore = Semaphore::const_new(2 * MAX_KIB as usize);

/// The values of a body would take more than [`MAX_KIB`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooManyValues;

impl TooManyValues {
    pub const MESSAGE: &str = "The request has more values than the local cloud takes: they would need more than 256 MiB \
                               of memory.";
}

/// Why the parameters of a request cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// A member that the type of the parameters does not have.
    Unknown(String),
    Malformed(String),
}

/// The parameters in a body. An empty body is an empty object.
///
/// # Errors
/// When it is no JSON of the type `T`. A type that denies unknown fields refuses what would else be ignored.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unread> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        let unknown = text.strip_prefix("unknown field `");
        match unknown.and_then(|rest| rest.split_once('`')) {
            Some((member, _)) => Unread::Unknown(member.to_owned()),
            None => Unread::Malformed(text),
        }
    })
}

/// Waits until the values of a JSON body may be taken into memory. The permit is to be held as long as they are there.
///
/// # Errors
/// When they would take more than a single request may.
pub(crate) async fn admit(body: &[u8]) -> Result<Option<SemaphorePermit<'static>>, TooManyValues> {
    if body.len() <= SMALL {
        return Ok(None);
    }
    match u32::try_from(tree_bytes(body) >> 10) {
        Ok(kib) if kib <= MAX_KIB => Ok(MEMORY.acquire_many(kib).await.ok()),
        _ => Err(TooManyValues),
    }
}

/// Whether the values of a JSON body take no more memory than a single request may.
pub(crate) fn is_admissible(body: &[u8]) -> bool {
    body.len() <= SMALL || tree_bytes(body) >> 10 <= MAX_KIB as usize
}

/// An estimate of the memory that the values in `body` take: that of an element in a list that has doubled its
/// capacity, of an entry in a map likewise, and of the smallest map.
fn tree_bytes(body: &[u8]) -> usize {
    const ELEMENT: usize = 2 * size_of::<serde_json::Value>();
    const ENTRY: usize = ELEMENT + 64;
    const MAP: usize = 512;
    let (mut bytes, mut in_text, mut is_escaped) = (body.len(), false, false);
    for byte in body {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' => bytes += MAP,
            b':' => bytes += ENTRY,
            b',' | b'[' => bytes += ELEMENT,
            _ => {}
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn what_is_in_text_is_no_value() {
        let plain = r#"{"a":["b",1]}"#;
        assert!(tree_bytes(plain.as_bytes()) > 1000);
        let text = format!(r#"{{"a":"{}"}}"#, r#"{[,:\"\\"#.repeat(100));
        assert!(
            tree_bytes(text.as_bytes()) < 2000,
            "{}",
            tree_bytes(text.as_bytes())
        );
    }

    #[test]
    fn bodies_of_many_values_are_refused_and_large_texts_are_not() {
        let admitted = |body: &str| admit(body.as_bytes()).now_or_never();
        let numbers = format!("[{}0]", "0,".repeat(8 << 20));
        assert_eq!(admitted(&numbers).unwrap().err(), Some(TooManyValues));
        let maps = format!("[{}0]", r#"{"":0},"#.repeat(1 << 20));
        assert_eq!(admitted(&maps).unwrap().err(), Some(TooManyValues));
        let text = format!(r#"["{}"]"#, "x".repeat(16 << 20));
        assert!(admitted(&text).unwrap().is_ok_and(|permit| permit.is_some()));
        assert!(admitted("[]").unwrap().is_ok_and(|permit| permit.is_none()));
    }

    #[test]
    fn the_values_of_all_bodies_together_are_bounded() {
        let body = format!("[{}0]", "0,".repeat(1 << 20));
        let mut held = Vec::new();
        while let Some(admitted) = admit(body.as_bytes()).now_or_never() {
            held.push(admitted.unwrap());
        }
        assert!((1..8).contains(&held.len()), "{}", held.len());
        held.pop();
        assert!(admit(body.as_bytes()).now_or_never().is_some());
    }
}
