//! Fuzzy search in names, for the picker.

/// Indexes of the `names` that have the characters of `query` in their order, best first. Upper and lower case are the
/// same. An empty query matches all, in their order.
pub fn matches<S: AsRef<str>>(query: &str, names: &[S]) -> Vec<usize> {
    let query = query.trim().to_lowercase();
    let scored = names.iter().enumerate().filter_map(|(index, name)| {
        let name = name.as_ref().to_lowercase();
        Some((score(&query, &name)?, index))
    });
    let mut found: Vec<(f64, usize)> = scored.collect();
    // Stable: equal matches keep the order of the names.
    found.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    found.into_iter().map(|(_, index)| index).collect()
}

/// How well `name` matches; `None` if it does not.
fn score(query: &str, name: &str) -> Option<f64> {
    if query.is_empty() {
        return Some(0.0);
    }
    let mut rest = name.chars();
    let is_subsequence = query.chars().all(|wanted| rest.any(|c| c == wanted));
    if !is_subsequence {
        return None;
    }
    let closeness = strsim::jaro_winkler(query, name);
    Some(match name.find(query) {
        Some(0) => 2.0 + closeness,
        Some(_) => 1.0 + closeness,
        None => closeness,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found<'n>(query: &str, names: &[&'n str]) -> Vec<&'n str> {
        matches(query, names)
            .into_iter()
            .map(|index| names[index])
            .collect()
    }

    #[test]
    fn a_beginning_is_better_than_a_part_and_a_part_than_letters() {
        let names = ["web-orders", "o-r-d-e-r", "orders-eu", "clicks", "Orders"];
        assert_eq!(
            found("order", &names),
            ["Orders", "orders-eu", "web-orders", "o-r-d-e-r"]
        );
        assert_eq!(found("oeu", &names), ["orders-eu"]);
        assert_eq!(found("zz", &names), [""; 0]);
        assert_eq!(found("", &names), names);
    }

    proptest! {
        #[test]
        fn each_match_is_given_once(query in "[a-cé]{0,4}", names in prop::collection::vec("[a-cé-]{0,8}", 0..20)) {
            let mut found = matches(&query, &names);
            found.sort_unstable();
            found.dedup();
            let has = |name: &String| {
                let mut rest = name.chars();
                query.chars().all(|wanted| rest.any(|c| c == wanted))
            };
            let wanted: Vec<usize> = (0..names.len()).filter(|&index| has(&names[index])).collect();
            prop_assert_eq!(found, wanted);
        }
    }
}
