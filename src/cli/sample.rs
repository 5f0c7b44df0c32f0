//! `streamctl sample`.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::shared::Session;
use super::shared::rate::count;
use super::shared::template::TemplateArgs;
use crate::ui::{Report, Step, Style, lines, table, units};
use domain::context::Context;
use domain::generate::orders::PRODUCTS;
use domain::pipeline::resources::Kinds;
use domain::pipeline::samples::{MOST_ORDERS, Samples};
use domain::pipeline::{Manifest, Pipeline};
use ground::error::{Error, Result};
use ground::exit::Exit;
use ground::stop::Stop;

/// How many orders are made where no number is given.
const ORDERS: u64 = 10_000;

/// Print sample events, or load sample data
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl sample events > records.json    write sample records
  streamctl sample events retail
  streamctl sample load prices              load the products of `prices`
  streamctl sample load cart --orders 100k  orders to recommend products")]
pub struct SampleArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Events(EventsArgs),
    Load(LoadArgs),
}

/// Print the sample events of a template
///
/// The events are a JSON array, which `streamctl put` takes as it is. They do not depend on the parameters of the template.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl sample events > records.json
  streamctl sample events retail > events.json
  streamctl put --pipeline retail --file events.json")]
struct EventsArgs {
    #[command(flatten)]
    template: TemplateArgs,
}

/// Load the sample data of a template into its tables and buckets
///
/// The pipeline must be set up. An item or an object with the same key is replaced; others stay. For `cart`, orders are
/// generated, and the command waits until the function has made features of them. A second run replaces the orders.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl sample load prices
  streamctl sample load prices --param table=shop
  streamctl sample load cart --orders 100k")]
struct LoadArgs {
    #[command(flatten)]
    template: TemplateArgs,
    /// How many orders to generate, up to 10m [default: 10k]
    #[arg(long, value_name = "N", value_parser = count)]
    orders: Option<u64>,
}

/// What was loaded. A stable contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(super) struct Loaded(Vec<LoadedPart>);

/// A table, or an object of a bucket.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct LoadedPart {
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<String>,
    /// Key of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// Number of items of the table; for an object of orders or products, how many it has; 1 for another object.
    items: u64,
}

impl LoadedPart {
    fn table(name: &str, items: u64) -> Self {
        Self {
            table: Some(name.to_owned()),
            items,
            ..Self::default()
        }
    }

    fn object(bucket: &str, key: &str, items: u64) -> Self {
        Self {
            bucket: Some(bucket.to_owned()),
            key: Some(key.to_owned()),
            items,
            ..Self::default()
        }
    }

    /// The table, or the URI of the object.
    fn place(&self) -> String {
        match (&self.table, &self.bucket, &self.key) {
            (Some(table), ..) => table.clone(),
            (None, Some(bucket), Some(key)) => format!("s3://{bucket}/{key}"),
            _ => String::new(),
        }
    }

    fn row(&self) -> [String; 2] {
        [self.place(), self.items.to_string()]
    }
}

impl Report for Loaded {
    fn table(&self, _style: &Style) -> String {
        let only_tables = self.0.iter().all(|one| one.table.is_some());
        let mut table = table([if only_tables { "TABLE" } else { "PLACE" }, "ITEMS"]);
        for one in &self.0 {
            table.add_row(one.row());
        }
        table.trim_fmt()
    }

    fn text(&self) -> String {
        lines(self.0.iter().map(LoadedPart::row))
    }
}

pub(super) async fn run(args: SampleArgs, session: &Session) -> Result<Exit> {
    match args.action {
        Action::Events(args) => events(&args, session).await,
        Action::Load(args) => load(&args, session).await,
    }
}

async fn events(args: &EventsArgs, session: &Session) -> Result<Exit> {
    let manifest = args.template.manifest(session).await?;
    session.printer().out(manifest.sample_events()?.trim_end())?;
    Ok(Exit::Done)
}

async fn load(args: &LoadArgs, session: &Session) -> Result<Exit> {
    let draft = args.template.draft(session, None, false).await?;
    let orders = orders(args, draft.manifest())?;
    let context = session.context_for_change().await?;
    let kinds = Kinds::new(context).await?;
    let pipeline = draft.bind(&kinds)?;
    let samples = observed(args, session, &pipeline).await?;
    let loading = Loading {
        session,
        context,
        stop: Stop::default(),
    };
    let loaded = session
        .run_until_stopped(&loading.stop, loading.all(&samples, orders))
        .await?;
    session.printer().report(&Loaded(loaded))?;
    Ok(Exit::Done)
}

/// The number of orders to generate.
fn orders(args: &LoadArgs, manifest: &Manifest) -> Result<u64> {
    match args.orders {
        Some(_) if manifest.orders.is_none() => Err(Error::usage(format!(
            "template {} has no orders, so --orders does not apply",
            manifest.name
        ))
        .hint("leave it out")),
        Some(count) if count > MOST_ORDERS => Err(Error::usage(format!(
            "--orders is at most {}, not {}",
            units::count(MOST_ORDERS),
            units::count(count)
        ))),
        given => Ok(given.unwrap_or(ORDERS)),
    }
}

/// The sample data of a pipeline that is set up.
async fn observed(args: &LoadArgs, session: &Session, pipeline: &Pipeline<'_>) -> Result<Samples> {
    let plan = pipeline.plan().await?;
    plan.check()?;
    if plan.is_all_missing() {
        return Err(
            Error::failed(format!("{} is not set up", pipeline.identity())).hint(format!(
                "create it with `streamctl setup{}`",
                args.template.command_args_with_parameters(session)
            )),
        );
    }
    pipeline.samples()
}

struct Loading<'a> {
    session: &'a Session,
    context: &'a Context,
    stop: Stop,
}

impl Loading<'_> {
    async fn all(&self, samples: &Samples, orders: u64) -> Result<Vec<LoadedPart>> {
        let mut loaded = Vec::new();
        for sample in &samples.items {
            let all = sample.items.len() as u64;
            let step = self.step(format!("table {}", sample.table));
            let tell = |stored: usize| step.message(format!("{stored} of {}", units::counted(all, "item")));
            let outcome = sample.load(self.context, &tell).await;
            step.clear();
            outcome?;
            loaded.push(LoadedPart::table(&sample.table, all));
        }
        for sample in &samples.objects {
            let step = self.step(format!("bucket {}", sample.bucket));
            step.message(sample.key.clone());
            let outcome = sample.load(self.context).await;
            step.clear();
            outcome?;
            loaded.push(LoadedPart::object(&sample.bucket, &sample.key, 1));
        }
        if let Some(sample) = &samples.orders {
            let step = self.step(format!("bucket {}", sample.bucket));
            let tell = |what: String| step.message(what);
            let outcome = sample.load(self.context, orders, &self.stop, &tell).await;
            step.clear();
            let made = outcome?;
            loaded.push(LoadedPart::object(&sample.bucket, &sample.products_key, PRODUCTS));
            loaded.push(LoadedPart::object(&sample.bucket, &made.key, orders));
            loaded.push(LoadedPart::table(&sample.table, made.users + made.products));
        }
        Ok(loaded)
    }

    fn step(&self, name: String) -> Step {
        self.session.printer().progress().step(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_each_table() {
        let report = Loaded(vec![LoadedPart::table("products", 12)]);
        insta::assert_snapshot!(report.table(&Style::plain()), @"
        TABLE     ITEMS
        products  12
        ");
        assert_eq!(report.text(), "products\t12");
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(json, r#"[{"table":"products","items":12}]"#);
    }

    #[test]
    fn the_report_names_each_object() {
        let report = Loaded(vec![
            LoadedPart::object("carts", "orders/a.ndjson.gz", 10_000),
            LoadedPart::table("features", 1_500),
        ]);
        insta::assert_snapshot!(report.table(&Style::plain()), @"
        PLACE                          ITEMS
        s3://carts/orders/a.ndjson.gz  10000
        features                       1500
        ");
        assert_eq!(
            report.text(),
            "s3://carts/orders/a.ndjson.gz\t10000\nfeatures\t1500"
        );
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(
            json,
            r#"[{"bucket":"carts","key":"orders/a.ndjson.gz","items":10000},{"table":"features","items":1500}]"#
        );
    }
}
