//! Constraints of the API model on the parameters of a request. AWS checks them before anything else, and reports all
//! that are not met in one error.

use serde_json::Value;

use super::error::{ApiError, Result};
use super::items::Input;
use super::table::lower_first;

/// Values in the order of AWS's messages.
const CONSUMED_CAPACITY: &[&str] = &["INDEXES", "TOTAL", "NONE"];
const COLLECTION_METRICS: &[&str] = &["SIZE", "NONE"];
const RETURN_VALUES: &[&str] = &["ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW"];
const ON_FAILURE: &[&str] = &["ALL_OLD", "NONE"];
const SELECT: &[&str] = &[
    "SPECIFIC_ATTRIBUTES",
    "COUNT",
    "ALL_ATTRIBUTES",
    "ALL_PROJECTED_ATTRIBUTES",
];

/// The parameters that have an enumeration as their type, and the values.
const ENUMERATIONS: &[(&str, &[&str])] = &[
    ("ReturnConsumedCapacity", CONSUMED_CAPACITY),
    ("ReturnItemCollectionMetrics", COLLECTION_METRICS),
    ("ReturnValues", RETURN_VALUES),
    ("ReturnValuesOnConditionCheckFailure", ON_FAILURE),
    ("Select", SELECT),
];

/// Checks the parameters of a request whose values are enumerations.
///
/// # Errors
/// `ValidationException`, which names all parameters that are not valid.
pub(super) fn check(input: &Input) -> Result<()> {
    let broken: Vec<String> = ENUMERATIONS
        .iter()
        .filter_map(|(field, values)| {
            let given = input.get(*field).filter(|value| !value.is_null())?;
            let given = given.as_str().unwrap_or_default();
            (!values.contains(&given)).then(|| {
                format!(
                    "Value '{given}' at '{}' failed to satisfy constraint: Member must satisfy enum value set: [{}]",
                    lower_first(field),
                    values.join(", ")
                )
            })
        })
        .collect();
    match broken.len() {
        0 => Ok(()),
        1 => Err(ApiError::validation(format!(
            "1 validation error detected: {}",
            broken[0]
        ))),
        count => Err(ApiError::validation(format!(
            "{count} validation errors detected: {}",
            broken.join("; ")
        ))),
    }
}

/// Checks the length of a list. Its elements are not part of the error: AWS names them all.
///
/// # Errors
/// `ValidationException`.
pub(super) fn check_length(list: &[Value], member: &str, max: usize) -> Result<()> {
    if list.is_empty() {
        let constraint = "Member must have length greater than or equal to 1";
        return Err(ApiError::constraint("'[]'", member, constraint));
    }
    if list.len() > max {
        let constraint = format!("Member must have length less than or equal to {max}");
        let count = list.len();
        return Err(ApiError::constraint(
            format_args!("'[{count} elements]'"),
            member,
            &constraint,
        ));
    }
    Ok(())
}
