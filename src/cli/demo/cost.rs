//! An estimate of what the demo would cost on AWS.

use serde_json::value::RawValue;

use crate::cli::shared::Session;
use crate::cli::shared::change::existing;
use crate::ui::{self, Format};
use domain::cost::{self, Estimate, Mode, Usage};
use ground::error::{Error, Result};

/// Prints the estimate for the demo's stream, to which `events` and the test record of `setup` were put.
pub(super) async fn show(demo: &Session, events: &str) -> Result<Estimate> {
    let context = demo.context().await?;
    let name = &demo.settings().stream;
    let state = existing(context, name).await?;
    let records: Vec<&RawValue> = serde_json::from_str(events)
        .map_err(|e| Error::failed("the demo's own events are not a JSON array").cause(e))?;
    let sizes = records.iter().map(|record| record.get().len() as u64);
    let shards = u64::from(state.open_shards);
    let estimate = cost::so_far(&Usage {
        put_units: sizes.clone().map(cost::payload_units).sum::<u64>() + 1,
        bytes_in: sizes.map(cost::billed_bytes).sum(),
        shard_level_metrics: shards * state.monitoring.len() as u64,
        ..Usage::idle(context.region(), Mode::Provisioned { shards }, 1)
    });
    let printer = demo.printer();
    printer.flush()?;
    printer.note("\nWhat this would have cost so far on AWS, with each started hour billed in full:");
    if matches!(printer.format(), Format::Table | Format::Text) {
        printer.out(&table(&estimate))?;
        printer.flush()?;
    }
    Ok(estimate)
}

fn table(estimate: &Estimate) -> String {
    let Some(total) = estimate.total else {
        return format!("No price is known for {}", estimate.region);
    };
    let mut table = ui::table(["ITEM", "QUANTITY", "USD"]);
    for line in &estimate.lines {
        table.add_row([
            line.item.to_owned(),
            format!("{} {}", line.quantity, line.unit),
            line.amount.unwrap_or_default().rounded(4),
        ]);
    }
    let as_of = estimate.as_of.as_deref().unwrap_or("unknown date");
    table.add_row([
        "total".to_owned(),
        format!("{}, prices of {as_of}", estimate.region),
        total.rounded(4),
    ]);
    table.trim_fmt()
}
