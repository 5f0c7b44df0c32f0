//! Conditional requests.
//!
//! Source: "Conditional requests", S3 user guide; RFC 9110, section 13.

use super::call::Call;
use super::error::{Error, Result};
use super::object::Version;
use super::time;

/// The headers with the conditions of a read.
pub(super) struct Conditions {
    pub matches: &'static str,
    pub none_match: &'static str,
    pub modified_since: &'static str,
    pub unmodified_since: &'static str,
}

/// On the object that is read.
pub(super) const READ: Conditions = Conditions {
    matches: "if-match",
    none_match: "if-none-match",
    modified_since: "if-modified-since",
    unmodified_since: "if-unmodified-since",
};

/// On the source of a copy.
pub(super) const COPY: Conditions = Conditions {
    matches: "x-amz-copy-source-if-match",
    none_match: "x-amz-copy-source-if-none-match",
    modified_since: "x-amz-copy-source-if-modified-since",
    unmodified_since: "x-amz-copy-source-if-unmodified-since",
};

/// Whether an object is as a client expects it.
enum State {
    Expected,
    /// A condition for changes does not hold.
    Failed(&'static str),
    /// The object is the one that the client has.
    Unchanged(&'static str),
}

/// Whether a list of entity tags names `etag`.
fn names(list: &str, etag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    list.trim() == "*" || list.split(',').any(|one| bare(one) == bare(etag))
}

impl Conditions {
    /// A condition on the entity tag decides before one on the time.
    fn state(&self, call: &Call, version: &Version) -> State {
        let modified = version.modified_ms.div_euclid(1000);
        let time = |name: &str| call.header(name).and_then(time::read_http);
        match call.header(self.matches) {
            Some(list) if !names(list, &version.etag) => return State::Failed(self.matches),
            Some(_) => {}
            None if time(self.unmodified_since).is_some_and(|since| modified > since) => {
                return State::Failed(self.unmodified_since);
            }
            None => {}
        }
        match call.header(self.none_match) {
            Some(list) if names(list, &version.etag) => State::Unchanged(self.none_match),
            None if time(self.modified_since).is_some_and(|since| modified <= since) => {
                State::Unchanged(self.modified_since)
            }
            _ => State::Expected,
        }
    }

    /// For a read: an unchanged object is 304.
    pub fn check_read(&self, call: &Call, version: &Version) -> Result<()> {
        match self.state(call, version) {
            State::Expected => Ok(()),
            State::Failed(name) => Err(Error::precondition(name)),
            State::Unchanged(_) => Err(Error::new(304, "NotModified", "Not Modified")
                .header("etag", version.etag.as_str())
                .header("last-modified", time::http(version.modified_ms))),
        }
    }

    /// For the source of a copy: an unchanged object is an error.
    pub fn check_copy(&self, call: &Call, version: &Version) -> Result<()> {
        match self.state(call, version) {
            State::Expected => Ok(()),
            State::Failed(name) | State::Unchanged(name) => Err(Error::precondition(name)),
        }
    }
}

/// Checks the conditions of a write or a deletion. `current` is the current object, if there is one.
pub(super) fn check_write(call: &Call, current: Option<&Version>) -> Result<()> {
    if let Some(list) = call.header(READ.none_match) {
        if list.trim() != "*" {
            return Err(Error::new(
                501,
                "NotImplemented",
                "A header you provided implies functionality that is not implemented",
            )
            .with("Header", "If-None-Match"));
        }
        if current.is_some() {
            return Err(Error::precondition("If-None-Match"));
        }
    }
    match (call.header(READ.matches), current) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(Error::no_key(call.key())),
        (Some(list), Some(current)) if names(list, &current.etag) => Ok(()),
        (Some(_), Some(_)) => Err(Error::precondition("If-Match")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_compared_without_quotes() {
        assert!(names("*", "\"a\""));
        assert!(names("a", "\"a\""));
        assert!(names("\"b\", W/\"a\"", "\"a\""));
        assert!(!names("\"b\"", "\"a\""));
    }
}
