//! The XML documents of requests. Object data never gets here.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::error::{Error, Result};
use crate::query::Xml;

pub(super) const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// Levels of elements. No document of S3 has more than 8.
const MAX_DEPTH: usize = 32;
/// Elements of a document. CompleteMultipartUpload has the most: 10,000 parts with up to 8 elements each.
const MAX_ELEMENTS: usize = 100_000;
const MAX_BYTES: usize = 8 << 20;

/// An element without its attributes and its namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub name: String,
    /// Text between the tags. Empty for an element with children.
    pub text: String,
    pub children: Vec<Node>,
}

impl Node {
    /// Reads a document whose root element is `root`.
    ///
    /// # Errors
    /// MalformedXML, also for a document type declaration and for documents that are deeper or longer than any of S3.
    pub fn parse(document: &[u8], root: &str) -> Result<Self> {
        let node = read(document).ok_or_else(Error::malformed_xml)?;
        if node.name == root {
            Ok(node)
        } else {
            Err(Error::malformed_xml())
        }
    }

    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of the first child with this name.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    /// The document as text, in the namespace of S3.
    pub fn to_xml(&self) -> String {
        let document = Xml::root(&self.name, NAMESPACE, |xml| self.write_content(xml));
        // Only text was written.
        String::from_utf8(document).unwrap_or_default()
    }

    fn write_content(&self, xml: &mut Xml) {
        if self.children.is_empty() {
            xml.text(&self.text);
        }
        for child in &self.children {
            xml.element(&child.name, |xml| child.write_content(xml));
        }
    }
}

fn read(document: &[u8]) -> Option<Node> {
    if document.len() > MAX_BYTES {
        return None;
    }
    let mut reader = Reader::from_str(std::str::from_utf8(document).ok()?);
    let mut open: Vec<Node> = Vec::new();
    let mut root = None;
    let mut elements = 0;
    loop {
        let (started, is_empty) = match reader.read_event().ok()? {
            Event::Start(start) => (start, false),
            Event::Empty(start) => (start, true),
            Event::End(_) => {
                let mut done = open.pop()?;
                if !done.children.is_empty() {
                    done.text.clear();
                }
                match open.last_mut() {
                    Some(parent) => parent.children.push(done),
                    None => root = Some(done),
                }
                continue;
            }
            Event::Text(text) => {
                append(&mut open, &text.xml10_content())?;
                continue;
            }
            Event::CData(text) => {
                append(&mut open, &text.xml10_content())?;
                continue;
            }
            Event::GeneralRef(reference) => {
                let character = match reference.resolve_char_ref().ok()? {
                    Some(character) => character,
                    None => predefined(&reference.xml10_content())?,
                };
                append(&mut open, character.encode_utf8(&mut [0; 4]))?;
                continue;
            }
            Event::DocType(_) => return None,
            Event::Comment(_) | Event::PI(_) | Event::Decl(_) => continue,
            Event::Eof => break,
        };
        elements += 1;
        if root.is_some() || open.len() >= MAX_DEPTH || elements > MAX_ELEMENTS {
            return None;
        }
        let name: &str = started.local_name().into_inner();
        let node = Node {
            name: name.to_owned(),
            ..Node::default()
        };
        match (is_empty, open.last_mut()) {
            (false, _) => open.push(node),
            (true, Some(parent)) => parent.children.push(node),
            (true, None) => root = Some(node),
        }
    }
    root.filter(|_| open.is_empty())
}

/// Adds text to the innermost element. Outside of elements only white space may stand.
fn append(open: &mut [Node], text: &str) -> Option<()> {
    match open.last_mut() {
        Some(node) => node.text.push_str(text),
        None if text.trim().is_empty() || text == "\u{feff}" => {}
        None => return None,
    }
    Some(())
}

fn predefined(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn documents_are_read_and_written() {
        let document =
            b"<?xml version=\"1.0\"?>\n<Delete xmlns=\"x\"><!-- c --><s3:Object xmlns:s3='y' a='1'>\n\
            <Key>a &lt;b&gt; &#x41;&amp;<![CDATA[<c>]]></Key></s3:Object><Quiet/></Delete>\n";
        let node = Node::parse(document, "Delete").unwrap();
        let object = node.child("Object").unwrap();
        assert_eq!(object.text_of("Key"), Some("a <b> A&<c>"));
        assert_eq!(node.text_of("Quiet"), Some(""));
        assert_eq!(Node::parse(node.to_xml().as_bytes(), "Delete").unwrap(), node);
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let deep = "<a>".repeat(70_000);
        let closed = format!("{}{}", "<a>".repeat(33), "</a>".repeat(33));
        let long = format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS));
        for document in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "<a/><a/>",
            "<a/>x",
            "<b/>",
            "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
            "<a>&x;</a>",
            "<a>&#xD800;</a>",
            &deep,
            &closed,
            &long,
        ] {
            let shown = document.get(..40).unwrap_or(document);
            let error = Node::parse(document.as_bytes(), "a").unwrap_err();
            assert_eq!(error.code, "MalformedXML", "{shown}");
        }
        assert!(Node::parse(b"\xff", "a").is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), tags in "(<[/!?]?[ab]?/?>?|&(lt|#)?;?|x){0,30}") {
            let _ = Node::parse(&bytes, "a");
            let _ = Node::parse(tags.as_bytes(), "a");
        }

        #[test]
        fn what_is_written_is_read_again(key in "[^\\p{C}\u{fffe}\u{ffff}]{0,40}") {
            let leaf = Node { name: "Key".to_owned(), text: key, children: Vec::new() };
            let node = Node { name: "a".to_owned(), text: String::new(), children: vec![leaf] };
            prop_assert_eq!(Node::parse(node.to_xml().as_bytes(), "a").unwrap(), node);
        }
    }
}
