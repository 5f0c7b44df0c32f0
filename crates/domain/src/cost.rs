//! What things cost on AWS: prices with date and source, exact estimates, and the capacity that a load needs.
//!
//! [`refresh`] and [`actual`] are the only parts that make calls: they ask AWS for prices and for the bill. Nothing here knows
//! the terminal. What has no sourced price has no amount; no price is guessed.

pub mod actual;
mod cache;
mod estimate;
mod item;
mod load;
mod money;
mod price_book;
pub mod refresh;
mod sizing;
mod summary;
mod workload;

pub use estimate::{Category, Estimate, Line, Mode, Usage, billed_bytes, payload_units, so_far};
pub use item::{HOURS_A_MONTH, Item, Unit};
pub use load::{Load, Rate};
pub use money::Money;
pub use price_book::{
    ADVANTAGE_MINIMUM, Price, PriceBook, Prices, Tariff, keep_refreshed_in, price_book, prices,
};
pub use sizing::{Demand, Limit, ModeCost, Need, SHARD_READ_CALLS, Sizing, size};
pub use summary::{Change, Part, Scenario, standing};
pub use workload::{
    AGGREGATED_BYTES, CapacityMode, Delivery, Encryption, WhatIf, Workload, firehose_bytes, needed_shards,
};
