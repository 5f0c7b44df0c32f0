//! The pipelines of the target, by the tag of their resources.

use super::resource::Identity;
use super::tags::PIPELINE;
use crate::context::Context;
use ground::error::Result;

/// The pipelines with at least one resource in the region, in the order of the service. It may still name one that was
/// deleted a moment ago.
///
/// # Errors
/// When the tagging API refuses the call (GetTagValues, Resource Groups Tagging API reference).
pub async fn deployed(ctx: &Context) -> Result<Vec<Identity>> {
    let values = ctx.tag_values(PIPELINE, "could not list the pipelines").await?;
    Ok(values.iter().filter_map(|value| parsed(value)).collect())
}

/// The identity in a value of the tag.
fn parsed(value: &str) -> Option<Identity> {
    let (template, instance) = value.split_once('/')?;
    Some(Identity::new(template, instance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_the_tag_names_a_pipeline() {
        assert_eq!(parsed("retail/dev"), Some(Identity::new("retail", "dev")));
        assert_eq!(parsed("somebody else's"), None);
    }
}
