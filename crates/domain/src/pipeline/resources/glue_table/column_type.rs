//! Types of columns. Source: "Data types in Amazon Athena", Amazon Athena user guide.

const SIMPLE: [&str; 12] = [
    "bigint",
    "binary",
    "boolean",
    "char",
    "date",
    "decimal",
    "double",
    "float",
    "int",
    "smallint",
    "string",
    "timestamp",
];
/// Types within types.
const DEEPEST: usize = 32;
/// Source: `ColumnTypeString`, AWS Glue Web API reference.
const LONGEST: usize = 131_072;

/// Refuses what Athena could not read. `text` has no spaces.
pub(super) fn check(text: &str) -> Result<(), String> {
    if text.len() > LONGEST {
        return Err(format!("its type is longer than {LONGEST} characters"));
    }
    match of_type(text, 0) {
        Ok("") => Ok(()),
        Ok(rest) => Err(format!("{rest:?} follows its type")),
        Err(problem) => Err(problem),
    }
}

/// Reads a type at the beginning of `text`, and returns what follows it.
fn of_type(text: &str, depth: usize) -> Result<&str, String> {
    if depth > DEEPEST {
        return Err(format!(
            "its type has more than {DEEPEST} types within each other"
        ));
    }
    let (word, rest) = word(text);
    match word {
        "array" => close(of_type(inner(word, rest)?, depth + 1)?),
        "map" => {
            let key = of_type(inner(word, rest)?, depth + 1)?;
            let value = key
                .strip_prefix(',')
                .ok_or("map needs two types, such as map<string,int>")?;
            close(of_type(value, depth + 1)?)
        }
        "struct" => {
            let mut rest = inner(word, rest)?;
            loop {
                rest = field(rest, depth)?;
                match rest.strip_prefix(',') {
                    Some(more) => rest = more,
                    None => return close(rest),
                }
            }
        }
        "tinyint" | "varchar" => lengths(rest),
        simple if SIMPLE.contains(&simple) => lengths(rest),
        other => Err(format!(
            "{other:?} is not a type of Athena, such as bigint, string or array<string>"
        )),
    }
}

/// What follows the bracket after the word of a type that has types in it.
fn inner<'t>(word: &str, rest: &'t str) -> Result<&'t str, String> {
    let found = rest.strip_prefix('<');
    found.ok_or_else(|| format!("{word} needs types in <>"))
}

/// A field of a struct, such as `id:string`.
fn field(text: &str, depth: usize) -> Result<&str, String> {
    let (name, rest) = word(text);
    let rest = rest.strip_prefix(':').filter(|_| !name.is_empty());
    of_type(
        rest.ok_or("struct needs fields, such as struct<id:string>")?,
        depth + 1,
    )
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    text.split_at(end.unwrap_or(text.len()))
}

fn close(rest: &str) -> Result<&str, String> {
    rest.strip_prefix('>')
        .ok_or_else(|| "its type lacks a >".to_owned())
}

/// Skips lengths, such as those of `decimal(10,2)`.
fn lengths(text: &str) -> Result<&str, String> {
    let Some(rest) = text.strip_prefix('(') else {
        return Ok(text);
    };
    let (inner, rest) = rest.split_once(')').ok_or("its type lacks a )")?;
    let is_number = |part: &str| part.parse::<u16>().is_ok();
    match inner.split(',').all(is_number) {
        true => Ok(rest),
        false => Err(format!("({inner}) is not a length, such as (10,2)")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn types_of_athena_are_read() {
        for sound in [
            "bigint",
            "decimal(10,2)",
            "varchar(20)",
            "array<struct<product_id:string,reordered:bigint>>",
            "map<string,array<int>>",
            "tinyint",
        ] {
            assert_eq!(check(sound), Ok(()), "{sound}");
        }
    }

    #[test]
    fn others_are_refused() {
        let deep = format!("{}int{}", "array<".repeat(40), ">".repeat(40));
        let refusals = [
            "text",
            "",
            "array",
            "array<int",
            "map<string>",
            "struct<>",
            "struct<a int>",
            "int>",
            "decimal(x)",
            "decimal(1",
            deep.as_str(),
        ]
        .map(|text| check(text).unwrap_err())
        .join("\n");
        insta::assert_snapshot!(refusals, @r#"
        "text" is not a type of Athena, such as bigint, string or array<string>
        "" is not a type of Athena, such as bigint, string or array<string>
        array needs types in <>
        its type lacks a >
        map needs two types, such as map<string,int>
        struct needs fields, such as struct<id:string>
        struct needs fields, such as struct<id:string>
        ">" follows its type
        (x) is not a length, such as (10,2)
        its type lacks a )
        its type has more than 32 types within each other
        "#);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z<>,:()0-9é ]{0,60}") {
            let _ = check(&text);
        }

        #[test]
        fn types_within_types_are_read(
            text in prop_oneof![Just("int"), Just("decimal(3,1)")].prop_map(str::to_owned).prop_recursive(6, 20, 2, |inner| {
                prop_oneof![
                    inner.clone().prop_map(|one| format!("array<{one}>")),
                    (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("map<{one},{other}>")),
                    (inner.clone(), inner).prop_map(|(one, other)| format!("struct<a:{one},b_1:{other}>")),
                ]
            })
        ) {
            prop_assert_eq!(check(&text), Ok(()));
        }
    }
}
