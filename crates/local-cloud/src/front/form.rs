//! Checks forms before they are parsed: awsim allocates `<n>` entries for `Tags.member.<n>.Key`, and recurses for each
//! dot.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hasher};

use percent_encoding::percent_decode;

/// More than any AWS query operation takes in one list.
const MAX_INDEX: usize = 1_000;
const MAX_DEPTH: usize = 24;
/// Levels of the names of all parameters. PutMetricData has the most: 1,000 metrics of 30 dimensions are 320,000.
const MAX_LEVELS: usize = 500_000;
/// Entries of lists that no parameter may name. A request of an SDK has none.
const MAX_GAPS: usize = 4_096;

/// Whether a form body is of a shape that AWS's query protocol knows, and can be parsed in memory that is in proportion
/// to its length.
pub(super) fn is_sound(body: &[u8]) -> bool {
    let mut lists = Lists::default();
    let mut levels = 0;
    for pair in body.split(|&b| b == b'&') {
        let name = pair.split(|&b| b == b'=').next().unwrap_or_default();
        let name: Vec<u8> = percent_decode(name).collect();
        let mut depth = 0;
        let mut prefix = DefaultHasher::new();
        for segment in name.split(|&b| b == b'.') {
            depth += 1;
            levels += 1;
            if depth > MAX_DEPTH || levels > MAX_LEVELS {
                return false;
            }
            let list = prefix.finish();
            prefix.write(segment);
            prefix.write_u8(b'.');
            let is_number = !segment.is_empty() && segment.iter().all(|b| b.is_ascii_digit() || *b == b'+');
            if is_number {
                match index(segment).filter(|n| (1..=MAX_INDEX).contains(n)) {
                    Some(index) => lists.add(list, prefix.finish(), index),
                    None => return false,
                }
            }
        }
    }
    lists.gaps() <= MAX_GAPS
}

/// The lists in a form, by the hashes of their names.
#[derive(Default)]
struct Lists {
    highest: HashMap<u64, usize>,
    entries: HashSet<u64>,
}

impl Lists {
    fn add(&mut self, list: u64, entry: u64, index: usize) {
        let highest = self.highest.entry(list).or_default();
        *highest = index.max(*highest);
        self.entries.insert(entry);
    }

    /// Entries that no parameter names.
    fn gaps(&self) -> usize {
        let total: usize = self.highest.values().sum();
        total.saturating_sub(self.entries.len())
    }
}

fn index(segment: &[u8]) -> Option<usize> {
    std::str::from_utf8(segment).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_requests_pass() {
        for body in [
            "",
            "Action=GetCallerIdentity&Version=2011-06-15",
            "Action=TagPolicy&Tags.member.1.Key=a.0.b&Tags.member.10.Value=%7B",
            "Action=PutMetricData&MetricData.member.1000.Dimensions.member.30.Name=x",
        ] {
            assert!(is_sound(body.as_bytes()), "{body}");
        }
        let mut large = String::from("Action=PutMetricData");
        for metric in 1..=1000 {
            for dimension in 1..=30 {
                large.push_str(&format!(
                    "&MetricData.member.{metric}.Dimensions.member.{dimension}.Name=x\
                     &MetricData.member.{metric}.Dimensions.member.{dimension}.Value=y"
                ));
            }
        }
        assert!(is_sound(large.as_bytes()));
    }

    #[test]
    fn hostile_names_do_not() {
        let deep = "a.".repeat(100_000);
        // Each of these 81 kB of names had awsim allocate a thousand entries.
        let wide: String = (0..3_000).map(|n| format!("a{n}.member.1000.b.1000=&")).collect();
        let many = "a.b.c.d.e.f.g.h&".repeat(100_000);
        for body in [
            "Tags.member.0.Key=a",
            "Tags.member.99999999999999999999.Key=a",
            "Tags.member.4000000000.Key=a",
            "Tags.member%2E4000000000.Key=a",
            "Tags.member.%34000000000.Key=a",
            "Tags.member.+0=a",
            deep.as_str(),
            &wide,
            &many,
        ] {
            assert!(!is_sound(body.as_bytes()), "{}", &body[..body.len().min(60)]);
        }
    }
}
