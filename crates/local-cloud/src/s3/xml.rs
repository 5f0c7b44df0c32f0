//! The XML documents of requests. Object data never gets here.

pub(super) use ground::xml::Node;

use super::error::{Error, Result};

pub(super) const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// Reads a document whose root element is `root`.
///
/// # Errors
/// MalformedXML.
pub(super) fn parse(document: &[u8], root: &str) -> Result<Node> {
    Node::read(document)
        .filter(|node| node.name == root)
        .ok_or_else(Error::malformed_xml)
}

/// The document as text, in the namespace of S3.
pub(super) fn to_xml(document: &Node) -> String {
    document.to_xml(NAMESPACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_root_or_no_document_is_malformed() {
        assert!(parse(b"<a/>", "a").is_ok());
        for document in [&b"<b/>"[..], b"<a>", b""] {
            assert_eq!(parse(document, "a").unwrap_err().code, "MalformedXML");
        }
    }
}
