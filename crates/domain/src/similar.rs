//! The names that a user may have meant.

/// Most names of one suggestion.
const MOST: usize = 3;
/// The shortest name that counts as a part of another.
const SHORTEST_PART: usize = 4;

/// Those of `names` that differ from `name` in a third of its characters or less, or contain it, or are contained in it. The
/// nearest is first.
pub fn similar(name: &str, names: impl IntoIterator<Item = String>) -> Vec<String> {
    let wanted = name.to_lowercase();
    let mut found: Vec<(usize, String)> = names
        .into_iter()
        .filter(|other| other != name)
        .filter_map(|other| Some((distance(&wanted, &other.to_lowercase())?, other)))
        .collect();
    found.sort();
    found.truncate(MOST);
    found.into_iter().map(|(_, other)| other).collect()
}

/// "did you mean retail? ", or nothing where no name is similar.
pub fn did_you_mean<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let found = similar(name, names.into_iter().map(str::to_owned));
    match found.first() {
        Some(nearest) => format!("did you mean {nearest}? "),
        None => String::new(),
    }
}

/// How far two names are apart; `None` if they are not similar.
fn distance(wanted: &str, other: &str) -> Option<usize> {
    let difference = wanted.len().abs_diff(other.len());
    let shorter = wanted.len().min(other.len());
    if shorter >= SHORTEST_PART && (other.contains(wanted) || wanted.contains(other)) {
        return Some(difference);
    }
    let most = (wanted.len() / 3).max(1);
    // The distance is at least the difference of the lengths, and takes long for long names.
    if difference > most {
        return None;
    }
    Some(strsim::osa_distance(wanted, other)).filter(|distance| *distance <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_similar_by_few_edits_or_as_a_part() {
        let all = &[
            "orders",
            "order",
            "Orders",
            "odrers",
            "orders-eu-west-1",
            "clicks",
            "or",
        ];
        let shown = |name| similar(name, all.iter().map(|name| (*name).to_owned()));
        assert_eq!(shown("orders"), ["Orders", "odrers", "order"]);
        assert_eq!(shown("click"), ["clicks"]);
        assert_eq!(shown("my-orders"), ["Orders", "orders", "order"]);
        assert_eq!(shown("nothing-like-it"), [""; 0]);
    }

    #[test]
    fn a_suggestion_names_the_nearest() {
        let templates = ["stream", "retail", "realtime"];
        assert_eq!(did_you_mean("retial", templates), "did you mean retail? ");
        assert_eq!(did_you_mean("kafka", templates), "");
    }

    proptest::proptest! {
        #[test]
        fn any_names_can_be_compared(name in ".{0,40}", others in proptest::collection::vec(".{0,40}", 0..20)) {
            let found = similar(&name, others.clone());
            proptest::prop_assert!(found.len() <= MOST);
            proptest::prop_assert!(found.iter().all(|one| others.contains(one)));
        }
    }
}
