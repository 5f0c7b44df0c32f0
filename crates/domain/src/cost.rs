//! Cost of a stream: prices with date and source, and exact estimates.
//!
//! Knows no network and no terminal. A region without a sourced price has no estimate.

mod estimate;
mod money;
mod price_book;
mod standing;

pub use estimate::{Estimate, Line, Mode, Usage, billed_bytes, payload_units, so_far};
pub use money::Money;
pub use price_book::{OnDemand, Price, PriceBook, Provisioned, price_book};
pub use standing::{Standing, standing};
