//! Checks forms before awsim parses them: it allocates `<n>` entries for `Tags.member.<n>.Key`, and recurses for each
//! dot.

use percent_encoding::percent_decode;

/// More than any AWS query operation takes in one list.
const MAX_INDEX: usize = 1_000;
const MAX_DEPTH: usize = 24;

/// Whether each parameter's name in a form body is of a shape that AWS's query protocol knows.
pub(super) fn is_sound(body: &[u8]) -> bool {
    body.split(|&b| b == b'&').all(|pair| {
        let name = pair.split(|&b| b == b'=').next().unwrap_or_default();
        let name: Vec<u8> = percent_decode(name).collect();
        let mut depth = 0;
        name.split(|&b| b == b'.').all(|segment| {
            depth += 1;
            let is_number = !segment.is_empty() && segment.iter().all(|b| b.is_ascii_digit() || *b == b'+');
            depth <= MAX_DEPTH && (!is_number || index(segment).is_some_and(|n| (1..=MAX_INDEX).contains(&n)))
        })
    })
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
    }

    #[test]
    fn hostile_names_do_not() {
        let deep = "a.".repeat(100_000);
        for body in [
            "Tags.member.0.Key=a",
            "Tags.member.99999999999999999999.Key=a",
            "Tags.member.4000000000.Key=a",
            "Tags.member%2E4000000000.Key=a",
            "Tags.member.%34000000000.Key=a",
            "Tags.member.+0=a",
            deep.as_str(),
        ] {
            assert!(!is_sound(body.as_bytes()), "{}", &body[..body.len().min(60)]);
        }
    }
}
