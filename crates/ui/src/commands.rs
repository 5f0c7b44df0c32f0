//! Commands of streamctl in messages: each repeats the flags that choose where this command acts, so that it acts there too
//! when it is copied.

use std::borrow::Cow;

use ground::shell;

/// What comes before a command in a text.
const OPEN: &str = concat!("`", "streamctl ");

/// Commands that act nowhere, or always in the same place.
const WITHOUT_TARGET: [&str; 6] = ["completions", "demo", "help", "init", "local", "man"];

/// The flags that choose the target.
const TARGET: [&str; 2] = ["--target", "--endpoint-url"];

/// Flags that choose where a command acts, with their values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetFlags(Vec<(&'static str, String)>);

impl FromIterator<(&'static str, String)> for TargetFlags {
    fn from_iter<I: IntoIterator<Item = (&'static str, String)>>(flags: I) -> Self {
        Self(flags.into_iter().collect())
    }
}

impl TargetFlags {
    /// Sets the value of `flag`.
    pub fn set(&mut self, flag: &'static str, value: &str) {
        self.0.retain(|(other, _)| *other != flag);
        self.0.push((flag, value.to_owned()));
    }

    /// The flags that a command of streamctl with the arguments `words` does not have, as words. Where it chooses the target
    /// itself, those that choose another are left out.
    pub fn missing(&self, words: &[&str]) -> Vec<&str> {
        let is = |word: &str, flag: &str| {
            word.strip_prefix(flag)
                .is_some_and(|end| end.is_empty() || end.starts_with('='))
        };
        let has = |flag: &str| words.iter().any(|word| is(word, flag));
        let command = words.first().copied().unwrap_or_default();
        if WITHOUT_TARGET.contains(&command) || command.starts_with('-') || has("--help") {
            return Vec::new();
        }
        let chooses_target = TARGET.iter().any(|flag| has(flag));
        let missing = self.0.iter().filter(|(flag, _)| match TARGET.contains(flag) {
            true => !chooses_target,
            false => !has(flag),
        });
        missing.flat_map(|(flag, value)| [*flag, value]).collect()
    }

    /// `line`, a command line of streamctl, with the flags that it does not have.
    pub fn complete(&self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        let missing = self.missing(&words).into_iter();
        let missing = missing.map(|word| format!(" {}", shell::quoted(word)));
        line.to_owned() + &missing.collect::<String>()
    }

    /// `text` with each command in backticks completed.
    pub fn complete_all<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.0.is_empty() || !text.contains(OPEN) {
            return Cow::Borrowed(text);
        }
        let mut completed = String::with_capacity(text.len() + 64);
        let mut rest = text;
        while let Some((before, from)) = rest.find(OPEN).map(|at| rest.split_at(at + 1)) {
            let Some(end) = from.find('`') else {
                break;
            };
            completed.push_str(before);
            completed.push_str(&self.complete(&from[..end]));
            rest = &from[end..];
        }
        completed.push_str(rest);
        Cow::Owned(completed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(flags: &[(&'static str, &str)]) -> TargetFlags {
        flags
            .iter()
            .map(|(flag, value)| (*flag, (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_command_gets_the_flags_that_it_does_not_have() {
        let typed = flags(&[("--region", "eu-west-1"), ("--profile", "my work")]);
        for (line, completed) in [
            (
                "streamctl list",
                "streamctl list --region eu-west-1 --profile 'my work'",
            ),
            (
                "streamctl doctor orders --region eu-central-1",
                "streamctl doctor orders --region eu-central-1 --profile 'my work'",
            ),
            (
                "streamctl doctor orders --region=eu-central-1 --profile x",
                "streamctl doctor orders --region=eu-central-1 --profile x",
            ),
            ("streamctl help output", "streamctl help output"),
            ("streamctl --help", "streamctl --help"),
            ("streamctl attach --help", "streamctl attach --help"),
            ("streamctl local status", "streamctl local status"),
        ] {
            assert_eq!(typed.complete(line), completed);
        }
    }

    #[test]
    fn a_command_that_chooses_its_target_gets_no_other() {
        let typed = flags(&[
            ("--target", "local"),
            ("--endpoint-url", "http://127.0.0.1:4566"),
            ("--region", "eu-west-1"),
        ]);
        assert_eq!(
            typed.complete("streamctl cost --refresh --target aws"),
            "streamctl cost --refresh --target aws --region eu-west-1"
        );
        assert_eq!(
            typed.complete("streamctl list"),
            "streamctl list --target local --endpoint-url http://127.0.0.1:4566 --region eu-west-1"
        );
    }

    #[test]
    fn each_command_of_a_text_is_completed() {
        let typed = flags(&[("--region", "eu-west-1")]);
        let all = |text| typed.complete_all(text).into_owned();
        assert_eq!(
            all("`streamctl list` shows them; `streamctl setup` creates one, `streamctl local stop` ends it"),
            "`streamctl list --region eu-west-1` shows them; `streamctl setup --region eu-west-1` creates one, \
             `streamctl local stop` ends it"
        );
        assert_eq!(
            all("set `ulimit -n 1024`, then run `streamctl list`"),
            "set `ulimit -n 1024`, then run `streamctl list --region eu-west-1`"
        );
        for same in [
            "",
            "`streamctl list",
            "the user's `",
            "`streamctld list`",
            "streamctl list",
        ] {
            assert_eq!(all(same), same);
        }
    }

    #[test]
    fn without_flags_nothing_changes() {
        let text = "`streamctl list` shows them";
        assert!(matches!(TargetFlags::default().complete_all(text), Cow::Borrowed(same) if same == text));
    }

    proptest::proptest! {
        #[test]
        fn a_text_is_only_added_to(text in "[a`é -]{0,8}(`streamctl [a-z-]{0,9}`?){0,3}[a`é ]{0,8}") {
            let typed = flags(&[("--region", "eu-west-1")]);
            let completed = typed.complete_all(&text);
            proptest::prop_assert_eq!(completed.replace(" --region eu-west-1", ""), text);
        }

        #[test]
        fn completing_again_changes_nothing(line in "streamctl [a-z]{1,9}( [a-z-]{1,9}){0,3}") {
            let typed = flags(&[("--region", "eu-west-1"), ("--profile", "work")]);
            let once = typed.complete(&line);
            proptest::prop_assert_eq!(typed.complete(&once), once);
        }
    }
}
