//! XML documents as trees of elements, without attributes and namespaces: what the REST/XML protocol of AWS needs.
//!
//! Bounds what a document may take, and refuses document type declarations.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::Event;

/// Levels of elements. No document of S3 or CloudFront has more than 12.
const MAX_DEPTH: usize = 32;
/// Elements of a document. CompleteMultipartUpload has the most: 10,000 parts with up to 8 elements each.
const MAX_ELEMENTS: usize = 100_000;
const MAX_BYTES: usize = 8 << 20;

/// An element without its attributes and its namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    /// Text between the tags. Empty for an element with children.
    pub text: String,
    pub children: Vec<Node>,
}

impl Node {
    /// An element with text.
    pub fn leaf(name: &str, text: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            text: text.into(),
            children: Vec::new(),
        }
    }

    /// An element with children.
    pub fn of(name: &str, children: Vec<Self>) -> Self {
        Self {
            name: name.to_owned(),
            text: String::new(),
            children,
        }
    }

    /// Reads a document. `None` for what is no document, for a document type declaration, and for a document that is deeper or
    /// longer than any of AWS.
    pub fn read(document: &[u8]) -> Option<Self> {
        read(document)
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

    /// Puts `child` in the place of the first one with its name, or at the end.
    pub fn set(&mut self, child: Self) {
        match self.children.iter_mut().find(|one| one.name == child.name) {
            Some(there) => *there = child,
            None => self.children.push(child),
        }
    }

    /// The document as text, in `namespace`, which needs no escaping.
    pub fn to_xml(&self, namespace: &str) -> String {
        let mut xml = format!("<{} xmlns=\"{namespace}\">", self.name);
        self.write_content(&mut xml);
        xml.extend(["</", &self.name, ">"]);
        xml
    }

    fn write_content(&self, xml: &mut String) {
        if self.children.is_empty() {
            xml.push_str(&escape(&self.text));
        }
        for child in &self.children {
            xml.extend(["<", &child.name, ">"]);
            child.write_content(xml);
            xml.extend(["</", &child.name, ">"]);
        }
    }
}

/// Text as a document holds it.
pub fn escape(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| !matches!(c, '&' | '<' | '>' | '"' | '\0'..'\x20' | '\u{fffe}' | '\u{ffff}');
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // Parsers turn a bare carriage return into a line feed.
            '\r' => escaped.push_str("&#xD;"),
            '\n' | '\t' => escaped.push(c),
            // XML 1.0 has no way to write these.
            '\0'..'\x20' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
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
        let node = Node::read(document).unwrap();
        let object = node.child("Object").unwrap();
        assert_eq!(object.text_of("Key"), Some("a <b> A&<c>"));
        assert_eq!(node.text_of("Quiet"), Some(""));
        assert_eq!(Node::read(node.to_xml("urn:x").as_bytes()).unwrap(), node);
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
            "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
            "<a>&x;</a>",
            "<a>&#xD800;</a>",
            &deep,
            &closed,
            &long,
        ] {
            let shown = document.get(..40).unwrap_or(document);
            assert_eq!(Node::read(document.as_bytes()), None, "{shown}");
        }
        assert!(Node::read(b"\xff").is_none());
    }

    #[test]
    fn a_child_is_replaced_in_its_place() {
        let mut node = Node::read(b"<a><b>1</b><c>2</c></a>").unwrap();
        node.set(Node::leaf("b", "3"));
        node.set(Node::leaf("d", "<4>"));
        assert_eq!(
            node.to_xml("x"),
            "<a xmlns=\"x\"><b>3</b><c>2</c><d>&lt;4&gt;</d></a>"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), tags in "(<[/!?]?[ab]?/?>?|&(lt|#)?;?|x){0,30}") {
            let _ = Node::read(&bytes);
            let _ = Node::read(tags.as_bytes());
        }

        #[test]
        fn what_is_written_is_read_again(key in "[^\\p{C}\u{fffe}\u{ffff}]{0,40}") {
            let node = Node::of("a", vec![Node::leaf("Key", key)]);
            prop_assert_eq!(Node::read(node.to_xml("urn:x").as_bytes()).unwrap(), node);
        }
    }
}
