//! `.env` of the working directory: an allow-list of plain values.
//!
//! Anybody may have written the file. It can choose names and numbers, and give credentials as plain keys. It cannot name
//! a file, a program, an endpoint or a proxy: those variables are ignored. Values are taken as they are written: a `$` is
//! a `$`, so that the file can neither read the environment nor grow by repeating itself.

use std::collections::BTreeMap;
use std::path::Path;

use ground::error::{Error, Result};
use ground::file;

/// A larger file is refused.
pub(super) const MOST_BYTES: u64 = 1 << 20;

/// The variables that count.
pub const ALLOWED: &[&str] = &[
    "APP_ENVIRONMENT",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_PROFILE",
    "AWS_DEFAULT_REGION",
    "AWS_KINESIS_SHARD_COUNT",
    "AWS_KINESIS_STREAM_NAME",
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "STREAMCTL_STREAM",
    "STREAMCTL_TARGET",
    "STREAMCTL_TIMEOUT",
];

/// Names that streamctl, the AWS SDK, the dynamic loader or a proxy act on. Only these are worth a note when they are
/// ignored: `.env` files hold the variables of many programs.
const ACTED_ON: &[&str] = &["AWS_", "STREAMCTL_", "LD_", "DYLD_"];
const PROXIES: &[&str] = &[
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "PATH",
    "HOME",
];

/// The contents of a `.env`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DotEnv {
    values: BTreeMap<&'static str, String>,
    ignored: Vec<String>,
    unread: Vec<usize>,
}

impl DotEnv {
    /// Reads `path`; a missing file counts as empty.
    ///
    /// # Errors
    /// As [`DotEnv::parse`], and exit 2 when the file cannot be read or is larger than 1 MiB.
    pub fn read(path: &Path) -> Result<Self> {
        match file::read_text(path, MOST_BYTES) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Error::usage(format!("{} could not be read", path.display())).cause(error)),
        }
    }

    /// Reads `text`. Lines of other programs that are not assignments are left out: see [`DotEnv::unread`].
    ///
    /// # Errors
    /// Exit 2 with the number of the line of a variable that counts and has no readable value: another value would choose
    /// another region or account. The text is not repeated: `.env` files hold secrets.
    pub fn parse(text: &str) -> Result<Self> {
        let mut found = Self::default();
        let mut rest = Rest::new(text);
        loop {
            let (name, value) = match rest.assignment() {
                Ok(Some(assignment)) => assignment,
                Ok(None) => return Ok(found),
                Err(Unread {
                    line,
                    name: Some(name),
                }) => {
                    return Err(
                        Error::usage(format!(".env line {line} gives no readable value for {name}"))
                            .hint("write NAME=value, or put a # before the line to make it a comment"),
                    );
                }
                Err(Unread { line, name: None }) => {
                    found.unread.push(line);
                    continue;
                }
            };
            match ALLOWED.iter().find(|allowed| **allowed == name) {
                Some(name) => {
                    found.values.insert(name, value);
                }
                None if is_acted_on(&name) && !found.ignored.contains(&name) => found.ignored.push(name),
                None => {}
            }
        }
    }

    /// The value of a variable that counts, if it is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.values.get(name)?;
        (!value.trim().is_empty()).then_some(value.as_str())
    }

    /// Names of variables that have an effect in the environment and do not count here.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Numbers of the lines, from 1, that are not assignments.
    pub fn unread(&self) -> &[usize] {
        &self.unread
    }
}

fn is_acted_on(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    ACTED_ON.iter().any(|prefix| upper.starts_with(prefix)) || PROXIES.contains(&upper.as_str())
}

/// A line that is not an assignment.
struct Unread {
    /// Its number, from 1.
    line: usize,
    /// The variable that counts, if the line is about one.
    name: Option<&'static str>,
}

/// The part of the file that is not read yet.
struct Rest<'a> {
    text: &'a str,
    /// Its first line, from 1.
    line: usize,
}

impl<'a> Rest<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text: text.strip_prefix('\u{feff}').unwrap_or(text),
            line: 1,
        }
    }

    /// The next assignment; `None` at the end. After an error, reading goes on with the next line.
    fn assignment(&mut self) -> Result<Option<(String, String)>, Unread> {
        loop {
            self.text = self.text.trim_start_matches([' ', '\t', '\r']);
            if self.text.is_empty() {
                return Ok(None);
            }
            if !self.text.starts_with(['\n', '#']) {
                break;
            }
            self.next_line();
        }
        let (text, line) = (self.text, self.line);
        let name = self.name();
        let value = name.and_then(|name| Some((name.to_owned(), self.value()?)));
        value.map(Some).ok_or_else(|| {
            // A quote without an end has taken the rest of the file.
            (self.text, self.line) = (text, line);
            self.next_line();
            let name = ALLOWED.iter().find(|allowed| Some(**allowed) == name);
            Unread {
                line,
                name: name.copied(),
            }
        })
    }

    /// The name of an assignment, and what follows it up to the value.
    fn name(&mut self) -> Option<&'a str> {
        self.text = match self.text.strip_prefix("export") {
            Some(after) if after.starts_with([' ', '\t']) => after.trim_start_matches([' ', '\t']),
            _ => self.text,
        };
        let end = self
            .text
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
        let (name, after) = self.text.split_at(end.unwrap_or(self.text.len()));
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let after = after.trim_start_matches([' ', '\t']).strip_prefix('=')?;
        self.text = after.trim_start_matches([' ', '\t']);
        is_name.then_some(name)
    }

    /// A value in quotes, which may have several lines, or the rest of the line. `None` if a quote has no end, or text
    /// follows it.
    fn value(&mut self) -> Option<String> {
        let Some(quote) = self.text.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            let line = self.next_line();
            // A comment starts after a space, so that a value may contain a #.
            let comment = line.find(" #").or_else(|| line.find("\t#"));
            let end = if line.starts_with('#') { Some(0) } else { comment };
            return Some(line[..end.unwrap_or(line.len())].trim_end().to_owned());
        };
        let mut value = String::new();
        let mut characters = self.text.char_indices().skip(1);
        while let Some((at, c)) = characters.next() {
            match c {
                _ if c == quote => {
                    self.text = &self.text[at + 1..];
                    let after = self.next_line().trim();
                    return (after.is_empty() || after.starts_with('#')).then_some(value);
                }
                '\\' if quote == '"' => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    c @ ('"' | '\'' | '\\' | '$') => value.push(c),
                    c => {
                        self.line += usize::from(c == '\n');
                        value.extend(['\\', c]);
                    }
                },
                '\n' => {
                    self.line += 1;
                    value.push(c);
                }
                c => value.push(c),
            }
        }
        None
    }

    /// The rest of this line, without its end.
    fn next_line(&mut self) -> &'a str {
        let (line, rest) = self.text.split_once('\n').unwrap_or((self.text, ""));
        self.text = rest;
        self.line += 1;
        line
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_values_are_taken() {
        let text = "\u{feff}# mine\r\nSTREAMCTL_STREAM=orders\r\n\n  export AWS_REGION = 'eu-west-1' # near\n\
                    AWS_PROFILE=\"a \\\"b\\\" $HOME\"\nAPP_ENVIRONMENT=test lab # c\nAWS_KINESIS_SHARD_COUNT=\n\
                    AWS_SECRET_ACCESS_KEY=ab#/+c=";
        let found = DotEnv::parse(text).unwrap();
        assert_eq!(found.get("STREAMCTL_STREAM"), Some("orders"));
        assert_eq!(found.get("AWS_REGION"), Some("eu-west-1"));
        assert_eq!(found.get("AWS_PROFILE"), Some("a \"b\" $HOME"));
        assert_eq!(found.get("APP_ENVIRONMENT"), Some("test lab"));
        assert_eq!(found.get("AWS_KINESIS_SHARD_COUNT"), None, "empty is unset");
        assert_eq!(found.get("AWS_SECRET_ACCESS_KEY"), Some("ab#/+c="));
        assert!(found.ignored().is_empty());
    }

    #[test]
    fn nothing_that_names_a_file_a_program_or_a_host_counts() {
        let names = [
            "AWS_CONFIG_FILE",
            "AWS_SHARED_CREDENTIALS_FILE",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_KINESIS",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            "AWS_CA_BUNDLE",
            "STREAMCTL_HOME",
            "STREAMCTL_LOG",
            "LD_PRELOAD",
            "DYLD_INSERT_LIBRARIES",
            "https_proxy",
            "PATH",
        ];
        let text: String = names.iter().map(|name| format!("{name}=/tmp/x\n")).collect();
        let found = DotEnv::parse(&(text + "DATABASE_URL=\"a\nb\"\nAWS_ENDPOINT_URL=x")).unwrap();
        assert_eq!(
            found.ignored(),
            names,
            "each once; other programs' variables are not mentioned"
        );
        assert!(names.iter().all(|name| found.get(name).is_none()));
    }

    #[test]
    fn a_line_of_another_program_is_left_out() {
        for (text, lines) in [
            ("FOO=bar baz\nAWS_REGION=r", vec![]),
            ("FOO=it's\nAWS_REGION=r", vec![]),
            ("A=1\nsecret\nAWS_REGION=r", vec![2]),
            ("A=\"1\n2\"\n=3\nAWS_REGION=r", vec![3]),
            ("A='open\nAWS_REGION=r\nB=\"open\nC='x' y", vec![1, 3, 4]),
            ("\nA='x' secret\nAWS_REGION=r", vec![2]),
            ("1A=2\nAWS_REGION=r\n{\n}", vec![1, 3, 4]),
        ] {
            let found = DotEnv::parse(text).unwrap();
            assert_eq!(found.unread(), lines, "{text}");
            assert_eq!(found.get("AWS_REGION"), Some("r"), "{text}");
        }
    }

    #[test]
    fn a_wrong_line_of_ours_is_named_and_not_shown() {
        for (text, line) in [
            ("AWS_REGION='open", 1),
            ("\nAWS_REGION = 'x' secret", 2),
            ("A=\"1\n2\"\nexport AWS_REGION=\"a", 3),
        ] {
            let error = DotEnv::parse(text).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(".env line {line} gives no readable value for AWS_REGION")
            );
            assert!(!error.chain().join(" ").contains("secret"));
        }
    }

    #[test]
    fn a_file_without_end_is_refused() {
        #[cfg(target_os = "linux")]
        {
            let error = DotEnv::read(Path::new("/dev/zero")).unwrap_err();
            assert_eq!(
                error.chain(),
                ["/dev/zero could not be read", "it is larger than 1 MiB"]
            );
        }
        assert_eq!(
            DotEnv::read(Path::new("/nowhere/.env")).unwrap(),
            DotEnv::default()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_text_is_read_or_refused(text in r#"([A-Z_]{0,4}|AWS_REGION|export|[ \t=#'"\\$\r\n{}]|\PC){0,40}"#) {
            if let Ok(found) = DotEnv::parse(&text) {
                // Nothing can grow: no value is larger than the file.
                let size: usize = ALLOWED.iter().filter_map(|name| found.get(name)).map(str::len).sum();
                prop_assert!(size <= text.len());
            }
        }

        #[test]
        fn a_quoted_value_is_read_as_it_was_written(value in "[^\u{0}]{0,40}") {
            let quoted = value.replace('\\', r"\\").replace('"', "\\\"");
            let found = DotEnv::parse(&format!("A=1\nAWS_PROFILE=\"{quoted}\"\nB=2")).unwrap();
            let expected = (!value.trim().is_empty()).then_some(value.as_str());
            prop_assert_eq!(found.get("AWS_PROFILE"), expected);
        }
    }
}
