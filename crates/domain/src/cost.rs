//! Cost of a stream: prices with date and source, exact estimates, and the capacity that a load needs.
//!
//! Knows no network and no terminal. A region without a sourced price has no estimate.

mod estimate;
mod load;
mod money;
mod price_book;
mod sizing;

pub use estimate::{Category, Estimate, Line, Mode, Usage, billed_bytes, payload_units, so_far};
pub use load::{Load, Rate};
pub use money::Money;
pub use price_book::{
    ADVANTAGE_MINIMUM, Advantage, HOURS_A_MONTH, OnDemand, Price, PriceBook, Provisioned, price_book,
};
pub use sizing::{Demand, Limit, ModeCost, Need, SHARD_READ_CALLS, Sizing, size};
