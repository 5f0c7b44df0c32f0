//! Quotas of changes to a stream: how many it takes in a rolling 24 hours, and when they are free again.

use jiff::{SignedDuration, Timestamp};

use ground::error::Error;
use ground::error::aws::Class;

/// A number of changes that a stream takes in a rolling 24 hours.
#[derive(Debug, Clone, Copy)]
pub(super) struct DailyQuota {
    count: usize,
    /// What it takes, in the plural.
    changes: &'static str,
}

/// Source: UpdateShardCount, Kinesis API reference.
pub(super) const RESHARDS: DailyQuota = DailyQuota {
    count: super::reshard::STEPS_A_DAY,
    changes: "changes of its shard count",
};
/// Source: StartStreamEncryption and StopStreamEncryption, Kinesis API reference.
pub(super) const KEYS: DailyQuota = DailyQuota {
    count: 25,
    changes: "changes of its encryption",
};
/// Switches of the mode that a stream takes in 24 hours. Source: UpdateStreamMode, Kinesis API reference.
pub const MODE_SWITCHES_A_DAY: usize = 2;
pub(super) const MODES: DailyQuota = DailyQuota {
    count: MODE_SWITCHES_A_DAY,
    changes: "switches of its capacity mode",
};

/// What to do where the account has no shards left.
pub(super) const MORE_SHARDS: &str =
    "ask AWS for a higher shard quota (Service Quotas), or use on-demand mode";

impl DailyQuota {
    /// Adds to an error of a used up quota what the quota is and when it is free again.
    pub(super) fn explain(self, error: Error) -> Error {
        self.explain_at(error, Timestamp::now())
    }

    fn explain_at(self, error: Error, now: Timestamp) -> Error {
        if error.class() != Some(Class::Quota) {
            return error;
        }
        let about_the_account = |line: &String| line.to_ascii_lowercase().contains("shard limit");
        if error.chain().iter().any(about_the_account) {
            return error.hint(MORE_SHARDS);
        }
        // The API does not tell when the earlier ones were. All of them were before now.
        let free = now.checked_add(SignedDuration::from_hours(24)).map_or_else(
            |_| "tomorrow".to_owned(),
            |time| format!("{} UTC", time.strftime("%Y-%m-%d %H:%M")),
        );
        error.hint(format!(
            "a stream allows {} {} in 24 hours: each is available again 24 hours after it was used, and all of them at {free}; \
             the same command then continues from here",
            self.count, self.changes
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str, message: &str) -> String {
        let class = ground::error::aws::class_of(code, message).unwrap();
        let error = Error::failed("could not reshard stream orders")
            .cause(format!("{code}: {message}"))
            .with_class(class);
        let now = "2026-11-28T17:40:31Z".parse().unwrap();
        let error = RESHARDS.explain_at(error, now);
        error.hint_text().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_quota_says_its_number_and_when_it_is_free() {
        let limit = "LimitExceededException";
        insta::assert_snapshot!(
            refused(limit, "UpdateShardCount was called 10 times in the last 24 hours"),
            @"a stream allows 10 changes of its shard count in 24 hours: each is available again 24 hours after it was used, and all of them at 2026-11-29 17:40 UTC; the same command then continues from here"
        );
        assert_eq!(
            refused(limit, "This request would exceed the shard limit for the account"),
            MORE_SHARDS
        );
        assert_eq!(refused(limit, "Rate exceeded for stream orders"), "");
    }
}
