//! Exit codes: the stable interface for scripts. Documented in README.md.

/// How the process ends. The discriminant is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Everything was done.
    Done = 0,
    /// The operation failed.
    Failed = 1,
    /// Invalid usage or input. Nothing was changed.
    Usage = 2,
    /// Some records or resources failed. The report names them.
    Partial = 3,
    /// The target could not be reached or refused the credentials.
    Unreachable = 4,
    /// A check ran and found faults.
    Faults = 5,
    /// Interrupted by the user.
    Interrupted = 130,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
