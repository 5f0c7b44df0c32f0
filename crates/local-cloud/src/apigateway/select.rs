//! Which stage and which route a request is for.
//!
//! Source: "Create routes for HTTP APIs", API Gateway developer guide: a full match of route and method, then a route that
//! ends in a greedy variable, then `$default`.

use std::collections::BTreeMap;

use super::model::{Api, ApiRoute, DEFAULT, Stage};
use crate::query::percent_decode;

/// The methods that a route key may name, besides `ANY`.
const METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
const ANY: &str = "ANY";
/// The most characters of a route key.
const MAX_KEY: usize = 1024;

/// The stage that a path names, and the path below it. A path that names no stage is for `$default`.
pub(super) fn stage<'a>(api: &'a Api, path: &'a str) -> Option<(&'a str, &'a Stage, &'a str)> {
    let rest = path.strip_prefix('/').unwrap_or(path);
    let (first, below) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let named = api.stages.get_key_value(percent_decode(first).as_str());
    if let Some((name, stage)) = named.filter(|(name, _)| *name != DEFAULT) {
        return Some((name.as_str(), stage, below));
    }
    let (name, stage) = api.stages.get_key_value(DEFAULT)?;
    Some((name.as_str(), stage, path))
}

/// A part of the path of a route.
#[derive(Debug, Clone, Copy)]
enum Segment<'a> {
    Text(&'a str),
    Variable(&'a str),
    /// All that is left, at least one part.
    Greedy(&'a str),
}

impl<'a> Segment<'a> {
    fn of(text: &'a str) -> Self {
        match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            Some(name) => match name.strip_suffix('+') {
                Some(name) => Self::Greedy(name),
                None => Self::Variable(name),
            },
            None => Self::Text(text),
        }
    }

    /// Lower ranks take precedence.
    fn rank(self) -> u8 {
        match self {
            Self::Text(_) => 0,
            Self::Variable(_) => 1,
            Self::Greedy(_) => 2,
        }
    }
}

/// A route, and the variables in its path.
#[derive(Debug)]
pub(super) struct Selected<'a> {
    pub route: &'a ApiRoute,
    pub variables: BTreeMap<String, String>,
}

/// The route for a method and a path, which is percent-encoded.
pub(super) fn route<'a>(
    routes: &'a BTreeMap<String, ApiRoute>,
    method: &str,
    path: &str,
) -> Option<Selected<'a>> {
    let parts = parts(path);
    let found = routes.values().filter_map(|route| {
        let (wanted, pattern) = route.key.split_once(' ')?;
        if wanted != ANY && wanted != method {
            return None;
        }
        let (ranks, variables) = matching(pattern, &parts)?;
        let is_greedy = ranks.contains(&2);
        // Routes without a greedy variable first; then those with more text further to the left; then those that name the
        // method.
        Some(((is_greedy, ranks, wanted == ANY), Selected { route, variables }))
    });
    let best = found.min_by(|(a, _), (b, _)| a.cmp(b));
    best.map(|(_, selected)| selected).or_else(|| {
        let route = routes.values().find(|route| route.key == DEFAULT)?;
        let variables = BTreeMap::new();
        Some(Selected { route, variables })
    })
}

/// The parts of a path, decoded.
pub(super) fn parts(path: &str) -> Vec<String> {
    segments(path).map(percent_decode).collect()
}

/// The ranks of the parts of a pattern that matches the parts of a path, and its variables. Lower ranks take precedence.
pub(super) fn matching(pattern: &str, parts: &[String]) -> Option<(Vec<u8>, BTreeMap<String, String>)> {
    let pattern: Vec<Segment<'_>> = segments(pattern).map(Segment::of).collect();
    let variables = variables(&pattern, parts)?;
    let ranks = pattern.iter().map(|segment| segment.rank()).collect();
    Some((ranks, variables))
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/').unwrap_or(path).split('/')
}

/// The variables of a path that matches the pattern.
fn variables(pattern: &[Segment<'_>], parts: &[String]) -> Option<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    for (at, segment) in pattern.iter().enumerate() {
        match segment {
            Segment::Text(text) if parts.get(at)? == text => {}
            Segment::Text(_) => return None,
            Segment::Variable(name) => {
                let part = parts.get(at).filter(|part| !part.is_empty())?;
                variables.insert((*name).to_owned(), part.clone());
            }
            Segment::Greedy(name) => {
                let rest = parts.get(at..)?.join("/");
                if rest.is_empty() {
                    return None;
                }
                variables.insert((*name).to_owned(), rest);
                return Some(variables);
            }
        }
    }
    (pattern.len() == parts.len()).then_some(variables)
}

/// What is wrong with a route key.
pub(super) fn check_key(key: &str) -> Result<(), &'static str> {
    if key == DEFAULT {
        return Ok(());
    }
    if key.len() > MAX_KEY {
        return Err("it is longer than 1024 characters");
    }
    let (method, path) = key
        .split_once(' ')
        .ok_or("it must be $default, or a method and a path, such as GET /pets")?;
    if method != ANY && !METHODS.contains(&method) {
        return Err("its method must be ANY, DELETE, GET, HEAD, OPTIONS, PATCH, POST or PUT");
    }
    if !path.starts_with('/') {
        return Err("its path must begin with a slash");
    }
    let mut names = Vec::new();
    let mut all = segments(path).map(Segment::of).peekable();
    while let Some(segment) = all.next() {
        let is_last = all.peek().is_none();
        match segment {
            Segment::Text(text) if text.contains(['{', '}', ' ', '?', '#']) => {
                return Err("a variable must be a whole part of its path, such as {id}");
            }
            Segment::Text(_) => {}
            Segment::Greedy(_) if !is_last => {
                return Err("a greedy variable must be the last part of its path");
            }
            Segment::Variable(name) | Segment::Greedy(name) => {
                let is_name = !name.is_empty()
                    && name
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"._-:".contains(&b));
                if !is_name {
                    return Err("the name of a variable has letters, digits and the characters . _ - :");
                }
                if names.contains(&name) {
                    return Err("its path has a variable twice");
                }
                names.push(name);
            }
        }
    }
    Ok(())
}

/// Method and path of a route key, as ARNs name them: `POST/submit`, or `$default`.
pub(super) fn in_arn(key: &str, method: &str) -> String {
    match key.split_once(' ') {
        Some((_, path)) => format!("{method}{path}"),
        None => key.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(keys: &[&str]) -> BTreeMap<String, ApiRoute> {
        let route = |key: &&str| ApiRoute {
            key: (*key).to_owned(),
            integration: None,
            operation_name: None,
        };
        keys.iter()
            .enumerate()
            .map(|(at, key)| (format!("r{at}"), route(key)))
            .collect()
    }

    fn selected(keys: &[&str], method: &str, path: &str) -> Option<(String, String)> {
        let routes = routes(keys);
        let selected = route(&routes, method, path)?;
        let variables: Vec<String> = selected
            .variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        Some((selected.route.key.clone(), variables.join(" ")))
    }

    #[test]
    fn priorities_of_the_developer_guide() {
        let keys = [
            "$default",
            "ANY /{proxy+}",
            "GET /pets/{proxy+}",
            "GET /pets/dog/{id}",
            "GET /pets/dog/1",
        ];
        for (method, path, expected) in [
            ("GET", "/pets/dog/1", ("GET /pets/dog/1", "")),
            ("GET", "/pets/dog/2", ("GET /pets/dog/{id}", "id=2")),
            ("GET", "/pets/cat/1", ("GET /pets/{proxy+}", "proxy=cat/1")),
            ("POST", "/test/5", ("ANY /{proxy+}", "proxy=test/5")),
            ("POST", "/pets/dog/1", ("ANY /{proxy+}", "proxy=pets/dog/1")),
            ("GET", "/", ("$default", "")),
        ] {
            let expected = Some((expected.0.to_owned(), expected.1.to_owned()));
            assert_eq!(selected(&keys, method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn methods_texts_and_variables() {
        for (keys, method, path, expected) in [
            (&["ANY /a", "GET /a"][..], "GET", "/a", Some("GET /a ")),
            (&["ANY /a", "GET /a"], "PUT", "/a", Some("ANY /a ")),
            (&["GET /a", "GET /{x}"], "GET", "/a", Some("GET /a ")),
            (
                &["GET /{x}/b", "GET /a/{y}"],
                "GET",
                "/a/b",
                Some("GET /a/{y} y=b"),
            ),
            (
                &["ANY /a/{x}", "GET /{p+}"],
                "GET",
                "/a/1",
                Some("ANY /a/{x} x=1"),
            ),
            (
                &["GET /a/{p+}", "GET /{p+}"],
                "GET",
                "/a/b/c",
                Some("GET /a/{p+} p=b/c"),
            ),
            (&["GET /{x}"], "GET", "/a%20b%2Fc", Some("GET /{x} x=a b/c")),
            (&["GET /a"], "GET", "/a/", None),
            (&["GET /a/"], "GET", "/a/", Some("GET /a/ ")),
            (&["GET /a/{x}"], "GET", "/a/", None),
            (&["GET /a/{p+}"], "GET", "/a/", None),
            (&["GET /a/{p+}"], "GET", "/a", None),
            (&["GET /"], "GET", "/", Some("GET / ")),
            (&["GET /a"], "POST", "/a", None),
            (&["GET /a"], "get", "/a", None),
            (&["GET /a"], "GET", "/A", None),
            (&[], "GET", "/", None),
        ] {
            let got = selected(keys, method, path).map(|(key, variables)| format!("{key} {variables}"));
            assert_eq!(got.as_deref(), expected, "{keys:?} {method} {path}");
        }
    }

    #[test]
    fn keys_are_checked() {
        for key in [
            "$default",
            "ANY /",
            "GET /pets/{id}",
            "POST /a/{b}/{rest+}",
            "GET /a.b-c_d~e",
        ] {
            assert_eq!(check_key(key), Ok(()), "{key}");
        }
        let long = format!("GET /{}", "a".repeat(MAX_KEY));
        for key in [
            "",
            "GET",
            "GET pets",
            "FETCH /",
            "get /",
            "GET /{}",
            "GET /{a b}",
            "GET /a{b}",
            "GET /{a}/{a}",
            "GET /{a+}/b",
            "GET /a?b",
            long.as_str(),
        ] {
            assert!(check_key(key).is_err(), "{key}");
        }
    }
}
