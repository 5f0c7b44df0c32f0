//! What the tests of several services share.

/// Sends a request of the SDK, which must succeed. Evaluates to its output.
macro_rules! ok {
    ($request:expr) => {
        $request.send().await.unwrap()
    };
}

/// Sends a request of the SDK, which must fail. Evaluates to the error.
macro_rules! refused {
    ($request:expr) => {
        $request.send().await.unwrap_err()
    };
}

pub(crate) use {ok, refused};
