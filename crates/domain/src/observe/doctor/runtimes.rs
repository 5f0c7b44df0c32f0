//! Lambda's runtimes and the days on which they are deprecated.

use jiff::civil::{Date, date};

/// The day on which `runtime` is deprecated; `None` for a runtime that is not in the table, or a container image.
/// Source: "Lambda runtimes", Lambda developer guide, sections "Supported runtimes" and "Deprecated runtimes"
/// (https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html), as of 2026: those on Amazon Linux 2 that are still
/// supported end on 2027-06-30 (Java, Python 3.11) and 2026-10-31 (Python 3.10), `provided.al2` ended on 2026-07-31.
pub(super) fn deprecated_since(runtime: &str) -> Option<Date> {
    let found = DEPRECATED.iter().find(|(name, ..)| *name == runtime);
    found.map(|(_, year, month, day)| date(*year, *month, *day))
}

/// The newest runtime of the same language.
pub(super) fn successor(runtime: &str) -> &'static str {
    let newest = NEWEST.iter().find(|(language, _)| runtime.starts_with(language));
    newest.map_or("provided.al2023", |(_, runtime)| runtime)
}

const NEWEST: &[(&str, &str)] = &[
    ("nodejs", "nodejs24.x"),
    ("python", "python3.14"),
    ("java", "java25"),
    ("dotnet", "dotnet10"),
    ("ruby", "ruby4.0"),
];

const DEPRECATED: &[(&str, i16, i8, i8)] = &[
    ("nodejs", 2016, 10, 31),
    ("nodejs4.3", 2020, 3, 5),
    ("nodejs4.3-edge", 2020, 3, 5),
    ("nodejs6.10", 2019, 8, 12),
    ("nodejs8.10", 2020, 3, 6),
    ("nodejs10.x", 2021, 7, 30),
    ("nodejs12.x", 2023, 3, 31),
    ("nodejs14.x", 2023, 12, 4),
    ("nodejs16.x", 2024, 6, 12),
    ("nodejs18.x", 2025, 9, 1),
    ("nodejs20.x", 2026, 4, 30),
    ("nodejs22.x", 2027, 4, 30),
    ("python2.7", 2021, 7, 15),
    ("python3.6", 2022, 7, 18),
    ("python3.7", 2023, 12, 4),
    ("python3.8", 2024, 10, 14),
    ("python3.9", 2025, 12, 15),
    ("python3.10", 2026, 10, 31),
    ("python3.11", 2027, 6, 30),
    ("python3.12", 2028, 10, 31),
    ("python3.13", 2029, 6, 30),
    ("java8", 2024, 1, 8),
    ("java8.al2", 2027, 6, 30),
    ("java11", 2027, 6, 30),
    ("java17", 2027, 6, 30),
    ("java8.al2023", 2029, 6, 30),
    ("java11.al2023", 2029, 6, 30),
    ("java17.al2023", 2029, 6, 30),
    ("java21", 2029, 6, 30),
    ("dotnetcore1.0", 2019, 7, 27),
    ("dotnetcore2.0", 2019, 5, 30),
    ("dotnetcore2.1", 2022, 1, 5),
    ("dotnetcore3.1", 2023, 4, 3),
    ("dotnet5.0", 2022, 5, 10),
    ("dotnet6", 2024, 12, 20),
    ("dotnet7", 2024, 5, 14),
    ("dotnet8", 2026, 11, 10),
    ("ruby2.5", 2021, 7, 30),
    ("ruby2.7", 2023, 12, 7),
    ("ruby3.2", 2026, 3, 31),
    ("ruby3.3", 2027, 3, 31),
    ("ruby3.4", 2028, 3, 31),
    ("go1.x", 2024, 1, 8),
    ("provided", 2024, 1, 8),
    ("provided.al2", 2026, 7, 31),
    ("provided.al2023", 2029, 6, 30),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_runtime_is_there_once_and_the_newest_are_not() {
        let mut names: Vec<&str> = DEPRECATED.iter().map(|(name, ..)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DEPRECATED.len());
        for (_, newest) in NEWEST {
            assert_eq!(deprecated_since(newest), None, "{newest}");
        }
        assert_eq!(successor("python3.8"), "python3.14");
        assert_eq!(successor("go1.x"), "provided.al2023");
    }
}
