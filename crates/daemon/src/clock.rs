//! Shows and advances the clock of the services of a local cloud.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::client::{self, Request};
use crate::home::LocalHome;
use crate::protocol::{self, CLOCK_PATH, OFFSET_HEADER, PROOF_HEADER};
use crate::{Found, HEALTH_TIMEOUT, look_for};
use ground::error::{Error, Result};

/// The clock of the services. Its fields are a contract with scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Clock {
    pub time: Timestamp,
    /// Milliseconds that it is ahead of the machine's; negative if it is behind.
    pub offset_ms: i64,
}

/// How to move the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// Not at all.
    Stay,
    Advance(Duration),
    /// To the machine's time.
    ToNow,
}

impl Move {
    /// The offset after the move.
    fn offset_ms(self, before: i64) -> i64 {
        match self {
            Self::Stay => before,
            Self::Advance(by) => before.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)),
            Self::ToNow => 0,
        }
    }
}

/// Moves the clock of the local cloud of `home`, and shows it.
///
/// # Errors
/// Exit 1 if none is running, or the clock would go back; exit 4 if the daemon does not answer.
pub async fn clock(home: &Path, change: Move) -> Result<Clock> {
    let home = LocalHome::new(home);
    let Some(found) = look_for(&home).await? else {
        return Err(Error::failed("the local cloud is not running")
            .hint("`streamctl local start` starts it; add --clock-behind for a clock that is behind"));
    };
    let before = found.health.clock_offset_ms;
    let offset_ms = change.offset_ms(before);
    if offset_ms != before {
        set(&found, offset_ms).await?;
    }
    let time = Timestamp::now().as_millisecond().saturating_add(offset_ms);
    let time = Timestamp::from_millisecond(time)
        .map_err(|error| Error::failed("the time of the clock is out of range").cause(error))?;
    Ok(Clock { time, offset_ms })
}

async fn set(found: &Found, offset_ms: i64) -> Result<()> {
    let Found {
        health,
        address,
        secret,
    } = found;
    let offset = offset_ms.to_string();
    let proof = protocol::prove_clock(secret, health.pid, health.started_ms, &offset);
    let request = Request {
        method: "POST",
        path: CLOCK_PATH,
        headers: &[(OFFSET_HEADER, &offset), (PROOF_HEADER, &proof)],
    };
    let failed = || Error::failed("could not set the clock of the local cloud");
    let answer = client::send(address, &request, HEALTH_TIMEOUT)
        .await
        .map_err(|error| Error::unreachable("the local cloud did not answer").cause(error))?;
    match answer.status {
        200 => Ok(()),
        409 => Err(failed()
            .cause("the clock is ahead of the machine's clock, and it cannot go back")
            .hint("`streamctl local reset` deletes the data and starts again")),
        status => Err(failed()
            .cause(format!(
                "HTTP {status}: {}",
                String::from_utf8_lossy(&answer.body)
            ))
            .hint(
                "if it runs another version of streamctl, run `streamctl local stop`, then start it again",
            )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_are_from_where_the_clock_is() {
        let day = Duration::from_secs(86_400);
        assert_eq!(Move::Stay.offset_ms(-5), -5);
        assert_eq!(Move::Advance(day).offset_ms(-86_400_000), 0);
        assert_eq!(Move::Advance(Duration::MAX).offset_ms(1), i64::MAX);
        assert_eq!(Move::ToNow.offset_ms(-7), 0);
    }
}
