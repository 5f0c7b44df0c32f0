//! Guards the form parser of the side services, which trusts what it reads: in `Tags.member.<n>.Key` it makes a list
//! of `<n>` entries, and for each dot it goes one call deeper.

/// More than any AWS query operation takes in one list.
const MAX_INDEX: usize = 1_000;
const MAX_DEPTH: usize = 24;

/// Whether each parameter's name in a form body is of a shape that AWS's query protocol knows.
pub(super) fn is_sound(body: &[u8]) -> bool {
    body.split(|&b| b == b'&').all(|pair| {
        let name = pair.split(|&b| b == b'=').next().unwrap_or_default();
        let name = decode(name);
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

/// Resolves `%XX`; leaves what is malformed as it is.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out
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
