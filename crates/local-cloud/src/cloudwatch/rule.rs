//! The rule of a composite alarm.
//!
//! Source: PutCompositeAlarm, `AlarmRule`, CloudWatch API reference. `NOT` binds more than `AND`, `AND` more than `OR`.

use super::alarm::{State, name_of};

/// Source: `AlarmRule`: "as many as 100 children alarms", "as many as 500 elements".
const MAX_CHILDREN: usize = 100;
const MAX_ELEMENTS: usize = 500;
/// Maximum nesting of parentheses.
const MAX_DEPTH: usize = 50;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    Constant(bool),
    /// The alarm of this name is in this state.
    Is(State, String),
    Not(Box<Rule>),
    All(Vec<Rule>),
    Any(Vec<Rule>),
}

impl Rule {
    /// # Errors
    /// What is wrong, as a part of a sentence.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser {
            rest: text.trim_start(),
            elements: 0,
        };
        let rule = parser.any(0)?;
        if !parser.rest.is_empty() {
            return Err(format!("unexpected {:?}", first_word(parser.rest)));
        }
        let mut names = rule.names();
        names.sort_unstable();
        names.dedup();
        if names.len() > MAX_CHILDREN {
            return Err(format!("it refers to more than {MAX_CHILDREN} alarms"));
        }
        Ok(rule)
    }

    /// The names of the alarms in the rule, in their order.
    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Self::Constant(_) => Vec::new(),
            Self::Is(_, name) => vec![name],
            Self::Not(inner) => inner.names(),
            Self::All(all) | Self::Any(all) => all.iter().flat_map(Self::names).collect(),
        }
    }

    /// Whether the rule holds. `state` is the state of an alarm by its name.
    pub(super) fn holds(&self, state: &dyn Fn(&str) -> State) -> bool {
        match self {
            Self::Constant(holds) => *holds,
            Self::Is(wanted, name) => state(name) == *wanted,
            Self::Not(inner) => !inner.holds(state),
            Self::All(all) => all.iter().all(|one| one.holds(state)),
            Self::Any(all) => all.iter().any(|one| one.holds(state)),
        }
    }
}

struct Parser<'a> {
    /// Without leading white space.
    rest: &'a str,
    elements: usize,
}

impl Parser<'_> {
    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest[bytes..].trim_start();
    }

    /// Takes `word`, if it stands here as a whole word.
    fn take(&mut self, word: &str) -> bool {
        let found = self
            .rest
            .strip_prefix(word)
            .is_some_and(|after| !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'));
        if found {
            self.skip(word.len());
        }
        found
    }

    fn sign(&mut self, sign: char) -> bool {
        let found = self.rest.starts_with(sign);
        if found {
            self.skip(sign.len_utf8());
        }
        found
    }

    fn element(&mut self) -> Result<(), String> {
        self.elements += 1;
        match self.elements > MAX_ELEMENTS {
            true => Err(format!("it has more than {MAX_ELEMENTS} elements")),
            false => Ok(()),
        }
    }

    fn any(&mut self, depth: usize) -> Result<Rule, String> {
        let mut all = vec![self.all(depth)?];
        while self.take("OR") {
            all.push(self.all(depth)?);
        }
        Ok(single_or(all, Rule::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Rule, String> {
        let mut all = vec![self.not(depth)?];
        while self.take("AND") {
            all.push(self.not(depth)?);
        }
        Ok(single_or(all, Rule::All))
    }

    fn not(&mut self, depth: usize) -> Result<Rule, String> {
        let mut negated = false;
        while self.take("NOT") {
            negated = !negated;
        }
        let rule = self.term(depth)?;
        Ok(match negated {
            true => Rule::Not(Box::new(rule)),
            false => rule,
        })
    }

    fn term(&mut self, depth: usize) -> Result<Rule, String> {
        self.element()?;
        if self.sign('(') {
            if depth >= MAX_DEPTH {
                return Err("it is nested too deeply".to_owned());
            }
            let inner = self.any(depth + 1)?;
            return match self.sign(')') {
                true => Ok(inner),
                false => Err("a closing parenthesis is missing".to_owned()),
            };
        }
        for (word, holds) in [("TRUE", true), ("FALSE", false)] {
            if self.take(word) {
                // Also written as functions, without arguments.
                if self.sign('(') && !self.sign(')') {
                    return Err(format!("{word} takes no argument"));
                }
                return Ok(Rule::Constant(holds));
            }
        }
        for state in State::ALL {
            if self.take(state.word()) {
                return self.alarm().map(|name| Rule::Is(state, name));
            }
        }
        Err(match self.rest {
            "" => "it ends too early".to_owned(),
            rest => format!("unexpected {:?}", first_word(rest)),
        })
    }

    /// The name or ARN of an alarm in parentheses, with or without quotation marks.
    fn alarm(&mut self) -> Result<String, String> {
        if !self.sign('(') {
            return Err("a state is followed by an alarm in parentheses".to_owned());
        }
        let (name, used) = match self.rest.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"').ok_or("a quotation mark is missing")?;
                (&quoted[..end], end + 2)
            }
            None => {
                let end = self.rest.find(')').ok_or("a closing parenthesis is missing")?;
                (self.rest[..end].trim_end(), end)
            }
        };
        let name = name_of(name);
        if name.is_empty() {
            return Err("the name of an alarm is missing".to_owned());
        }
        let name = name.to_owned();
        self.skip(used);
        match self.sign(')') {
            true => Ok(name),
            false => Err("a closing parenthesis is missing".to_owned()),
        }
    }
}

fn single_or(mut all: Vec<Rule>, several: fn(Vec<Rule>) -> Rule) -> Rule {
    match all.len() {
        1 => all.remove(0),
        _ => several(all),
    }
}

fn first_word(text: &str) -> String {
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    text[..end].chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state(name: &str) -> State {
        match name {
            "hot" | "CPU too high" => State::Alarm,
            "quiet" => State::InsufficientData,
            _ => State::Ok,
        }
    }

    fn holds(text: &str) -> bool {
        Rule::parse(text).unwrap().holds(&state)
    }

    #[test]
    fn functions_compare_states() {
        assert!(holds("ALARM(hot)"));
        assert!(!holds("OK(hot)"));
        assert!(holds("OK(cold)"));
        assert!(holds("INSUFFICIENT_DATA(quiet)"));
        assert!(holds("TRUE"));
        assert!(!holds(" FALSE "));
        assert!(holds("TRUE()"));
    }

    #[test]
    fn alarms_are_named_with_and_without_quotation_marks_or_by_arn() {
        assert!(holds("ALARM(\"CPU too high\")"));
        assert!(holds("ALARM( CPU too high )"));
        assert!(holds(
            "ALARM(arn:aws:cloudwatch:us-east-1:000000000000:alarm:hot)"
        ));
        assert!(holds(
            "ALARM(\"arn:aws:cloudwatch:us-east-1:000000000000:alarm:hot\")"
        ));
    }

    #[test]
    fn operators_bind_as_usual() {
        assert!(holds("ALARM(hot) OR ALARM(cold) AND ALARM(cold)"));
        assert!(!holds("(ALARM(hot) OR ALARM(cold)) AND ALARM(cold)"));
        assert!(holds("NOT ALARM(cold) AND ALARM(hot)"));
        assert!(holds("NOT (ALARM(cold) AND ALARM(hot))"));
        assert!(holds("NOT NOT ALARM(hot)"));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, says) in [
            ("", "too early"),
            ("ALARM(hot) AND", "too early"),
            ("ALARM(hot) ALARM(cold)", "unexpected"),
            ("ALARM hot", "parentheses"),
            ("ALARM()", "name"),
            ("ALARM(\"hot)", "quotation mark"),
            ("(ALARM(hot)", "parenthesis"),
            ("WARNING(hot)", "WARNING"),
            ("TRUE(1)", "no argument"),
        ] {
            let error = Rule::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        let many = |n: usize| {
            let all: Vec<String> = (0..n).map(|one| format!("ALARM(a{one})")).collect();
            all.join(" OR ")
        };
        assert!(Rule::parse(&many(100)).is_ok());
        assert!(Rule::parse(&many(101)).unwrap_err().contains("100 alarms"));
        assert!(
            Rule::parse(&vec!["TRUE"; 501].join(" AND "))
                .unwrap_err()
                .contains("500 elements")
        );
    }

    /// A rule, and whether it holds, computed while it is made.
    fn any_rule() -> impl Strategy<Value = (String, bool)> {
        let leaf = prop_oneof![
            Just(("TRUE".to_owned(), true)),
            Just(("FALSE".to_owned(), false)),
            prop::sample::select(vec!["hot", "cold", "quiet"])
                .prop_map(|name| (format!("ALARM({name})"), state(name) == State::Alarm)),
            prop::sample::select(vec!["hot", "cold", "quiet"])
                .prop_map(|name| (format!("OK(\"{name}\")"), state(name) == State::Ok)),
        ];
        leaf.prop_recursive(5, 60, 2, |inner| {
            (inner.clone(), inner, 0usize..3).prop_map(|((a, x), (b, y), operator)| match operator {
                0 => (format!("({a} AND {b})"), x && y),
                1 => (format!("({a} OR {b})"), x || y),
                _ => (format!("(NOT {a} OR {b})"), !x || y),
            })
        })
    }

    proptest! {
        #[test]
        fn rules_hold_as_their_parts_do((text, expected) in any_rule()) {
            prop_assert_eq!(Rule::parse(&text).map(|rule| rule.holds(&state)), Ok(expected), "{}", text);
        }

        #[test]
        fn arbitrary_text_does_not_panic(text in "[ALRMOKNDTUEFS_()\" é]{0,80}") {
            let _ = Rule::parse(&text);
        }

        #[test]
        fn nesting_is_limited(depth in 0usize..3000) {
            let _ = Rule::parse(&"(".repeat(depth));
            let _ = Rule::parse(&"NOT ".repeat(depth));
        }
    }
}
