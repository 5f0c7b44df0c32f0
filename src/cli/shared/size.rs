//! Value parsers of flags that take a size.

use domain::stream::change::check_max_record_size;

/// The size of the largest record in KiB, 1,024 to 10,240.
pub(crate) fn record_size(text: &str) -> Result<u32, String> {
    const GRAMMAR: &str = "not a size; write it like 2MiB or 1536KiB, or as a number of KiB";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "k" | "kib" => 1,
        "m" | "mib" => 1_024,
        _ => return Err(GRAMMAR.to_owned()),
    };
    let number: u32 = number.parse().map_err(|_| GRAMMAR.to_owned())?;
    let kib = number.saturating_mul(factor);
    check_max_record_size(kib).map_err(|_| "must be between 1MiB and 10MiB".to_owned())?;
    Ok(kib)
}

/// The size of aggregates in bytes, 1 KiB to 1 MiB.
pub(crate) fn aggregate_size(text: &str) -> Result<usize, String> {
    const GRAMMAR: &str = "not a size; write it like 50KiB or 1MiB, or as a number of bytes";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1_024,
        "m" | "mib" => 1_024 * 1_024,
        _ => return Err(GRAMMAR.to_owned()),
    };
    let number: usize = number.parse().map_err(|_| GRAMMAR.to_owned())?;
    let bytes = number.saturating_mul(factor);
    match (1_024..=1_024 * 1_024).contains(&bytes) {
        true => Ok(bytes),
        false => Err("must be between 1KiB and 1MiB".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_aggregates_are_bytes() {
        assert_eq!(
            ["51200", "50KiB", "1m", "2 k"].map(|text| aggregate_size(text).unwrap()),
            [51_200, 51_200, 1_048_576, 2_048]
        );
        for bad in ["", "KiB", "1023", "2MiB", "1GB", "-1", "99999999999999999999"] {
            assert!(aggregate_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(
            ["1024", "1MiB", "2m", "1536 KiB", "10MiB"].map(|text| record_size(text).unwrap()),
            [1_024, 1_024, 2_048, 1_536, 10_240]
        );
        for bad in ["", "MiB", "1", "11MiB", "2GB", "1.5MiB", "-1", "99999999999999"] {
            assert!(record_size(bad).is_err(), "{bad}");
        }
    }
}
