//! `streamctl handlers`.

use clap::Args;
use clap_complete::ArgValueCompleter;
use serde::Serialize;

use super::shared::Session;
use super::shared::candidates::handlers;
use crate::ui::units::bytes;
use crate::ui::{Report, Style, lines, or_dash, table};
use domain::functions::bundle;
use domain::functions::package::{Architecture, Version};
use domain::functions::{Handler, Need};
use ground::error::Result;
use ground::exit::Exit;

/// List the bundled Lambda handlers
///
/// With a name, shows what the handler does and which environment variables it reads. Its template sets the required
/// ones. `deploy` accepts the name or an alias of a handler.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl handlers                        every bundled handler
  streamctl handlers retail-processor       one handler, with its variables
  streamctl handlers -o json                with the hash of the code")]
pub struct HandlersArgs {
    /// Show this handler in full
    #[arg(value_name = "HANDLER", add = ArgValueCompleter::new(handlers))]
    handler: Option<String>,
}

pub(super) async fn run(args: HandlersArgs, session: &Session) -> Result<Exit> {
    let in_full = args.handler.is_some();
    let handlers: Vec<&Handler> = match &args.handler {
        Some(name) => vec![bundle::find(name)?],
        None => bundle::all().iter().collect(),
    };
    let entries: Vec<Entry> = handlers.into_iter().map(Entry::of).collect();
    if entries.iter().all(|entry| entry.zip_bytes.is_none()) {
        let text = "this streamctl was built without handlers: `deploy` needs --zip or --bootstrap";
        session.printer().warn(text);
    }
    session.printer().report(&HandlersReport { entries, in_full })?;
    Ok(Exit::Done)
}

/// JSON is an array of handlers.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(super) struct HandlersReport {
    entries: Vec<Entry>,
    #[serde(skip)]
    in_full: bool,
}

/// One handler. Sizes are in bytes; `None` if the code is not bundled.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "HandlerEntry"))]
struct Entry {
    name: &'static str,
    aliases: &'static [&'static str],
    about: &'static str,
    template: &'static str,
    zip_bytes: Option<u64>,
    unpacked_bytes: Option<u64>,
    architecture: Option<Architecture>,
    /// The newest version of the GNU C library that it needs.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    glibc: Option<Version>,
    /// SHA-256 of the zip in base64, as Lambda's CodeSha256.
    code_sha256: Option<String>,
    needs: &'static [Need],
}

impl Entry {
    fn of(handler: &'static Handler) -> Self {
        let package = handler.package().ok();
        Self {
            name: handler.name,
            aliases: handler.aliases,
            about: handler.about,
            template: handler.template,
            zip_bytes: package.as_ref().map(|package| package.bytes.len() as u64),
            unpacked_bytes: package.as_ref().map(|package| package.unpacked_bytes),
            architecture: package.as_ref().map(|package| package.architecture),
            glibc: package.as_ref().and_then(|package| package.glibc),
            code_sha256: package.map(|package| package.sha256),
            needs: handler.needs,
        }
    }

    fn cells(&self) -> [String; 6] {
        [
            self.name.to_owned(),
            self.template.to_owned(),
            or_dash(self.zip_bytes.map(bytes)),
            or_dash(self.unpacked_bytes.map(bytes)),
            or_dash(self.architecture),
            or_dash(self.glibc),
        ]
    }

    fn in_full(&self) -> String {
        let [name, template, zip, unpacked, architecture, glibc] = self.cells();
        let mut text = format!(
            "{name}: {}\n  aliases       {}\n  template      {template}\n  code          {zip} zipped, {unpacked} \
             unpacked, {architecture}, glibc {glibc}\n",
            self.about,
            self.aliases.join(", "),
        );
        text.push('\n');
        let mut needs = table(["VARIABLE", "DEFAULT", "MEANING"]);
        for need in self.needs {
            needs.add_row([need.name, need.default.unwrap_or("required"), need.about]);
        }
        text + &needs.trim_fmt()
    }
}

impl Report for HandlersReport {
    fn table(&self, _style: &Style) -> String {
        if self.in_full {
            let texts: Vec<String> = self.entries.iter().map(Entry::in_full).collect();
            return texts.join("\n");
        }
        let mut rows = table(["HANDLER", "TEMPLATE", "ZIP", "UNPACKED", "RUNS ON", "GLIBC"]);
        for entry in &self.entries {
            rows.add_row(entry.cells());
        }
        rows.trim_fmt()
    }

    fn text(&self) -> String {
        lines(self.entries.iter().map(|entry| {
            let [name, template, _, _, architecture, glibc] = entry.cells();
            let (zip, unpacked) = (or_dash(entry.zip_bytes), or_dash(entry.unpacked_bytes));
            let needs: Vec<&str> = entry.needs.iter().map(|need| need.name).collect();
            [
                name,
                template,
                zip,
                unpacked,
                architecture,
                glibc,
                needs.join(","),
            ]
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            zip_bytes: Some(2_300_000),
            unpacked_bytes: Some(5_400_000),
            architecture: Some(Architecture::Arm64),
            glibc: Some(Version { major: 2, minor: 34 }),
            code_sha256: Some("abc=".to_owned()),
            ..Entry::of(bundle::find("prices").unwrap())
        }
    }

    #[test]
    fn people_get_a_table_or_one_handler_in_full() {
        let report = |in_full| HandlersReport {
            entries: vec![entry()],
            in_full,
        };
        insta::assert_snapshot!(report(false).table(&Style::plain()), @"
        HANDLER        TEMPLATE  ZIP      UNPACKED  RUNS ON  GLIBC
        price-updater  prices    2.2 MiB  5.1 MiB   arm64    2.34
        ");
        insta::assert_snapshot!(report(true).table(&Style::plain()), @"
        price-updater: Sets the price of existing products
          aliases       prices
          template      prices
          code          2.2 MiB zipped, 5.1 MiB unpacked, arm64, glibc 2.34

        VARIABLE             DEFAULT   MEANING
        TABLE_NAME           required  table that it writes to
        PRICE_CACHE_ENTRIES  0         products whose price is remembered; 0 is off
        LOG_LEVEL            info      error, warn, info or debug
        ");
    }

    #[test]
    fn scripts_get_bytes_and_names() {
        let report = HandlersReport {
            entries: vec![entry()],
            in_full: true,
        };
        insta::assert_snapshot!(report.text().replace('\t', " | "), @"price-updater | prices | 2300000 | 5400000 | arm64 | 2.34 | TABLE_NAME,PRICE_CACHE_ENTRIES,LOG_LEVEL");
        insta::assert_json_snapshot!(report, @r#"
        [
          {
            "name": "price-updater",
            "aliases": [
              "prices"
            ],
            "about": "Sets the price of existing products",
            "template": "prices",
            "zip_bytes": 2300000,
            "unpacked_bytes": 5400000,
            "architecture": "arm64",
            "glibc": "2.34",
            "code_sha256": "abc=",
            "needs": [
              {
                "name": "TABLE_NAME",
                "about": "table that it writes to",
                "default": null
              },
              {
                "name": "PRICE_CACHE_ENTRIES",
                "about": "products whose price is remembered; 0 is off",
                "default": "0"
              },
              {
                "name": "LOG_LEVEL",
                "about": "error, warn, info or debug",
                "default": "info"
              }
            ]
          }
        ]
        "#);
    }
}
