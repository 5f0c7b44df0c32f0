//! The tour as one document, for `-o json` and `-o yaml`.

use serde::Serialize;
use serde_json::Value;

use crate::ui::{Printer, Report, Style};
use domain::cost::Estimate;
use ground::exit::Exit;

/// A contract with scripts.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct DemoReport {
    pub(super) steps: Vec<DemoStep>,
    /// What the tour would have cost on AWS; null if it ended before.
    pub(super) cost: Option<Estimate>,
    /// How long it took.
    pub(super) seconds: f64,
}

/// A command of the tour.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct DemoStep {
    /// The words of the command line, without `streamctl`.
    command: Vec<String>,
    exit: u8,
    /// The documents that the command printed: one report, or one object for each record.
    output: Vec<Value>,
}

impl DemoStep {
    /// A command that has printed to `printer`, which keeps JSON or nothing.
    pub(super) fn new(words: &[&str], printer: &Printer, exit: Exit) -> Self {
        let data = printer.take();
        let documents = serde_json::Deserializer::from_slice(&data).into_iter();
        Self {
            command: words.iter().map(|&word| word.to_owned()).collect(),
            exit: exit as u8,
            output: documents.map_while(std::result::Result::ok).collect(),
        }
    }
}

impl Report for DemoReport {
    /// Each step prints its own.
    fn table(&self, _style: &Style) -> String {
        String::new()
    }

    fn text(&self) -> String {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ui::Format;

    #[test]
    fn a_step_has_the_documents_that_its_command_printed() {
        let printer = Printer::new(Default::default()).keeping(Format::Json);
        printer.document(&json!({"shards": 1})).unwrap();
        printer.ndjson(&json!({"data": "a"})).unwrap();
        let step = DemoStep::new(&["setup", "--yes"], &printer, Exit::Done);
        assert_eq!(
            serde_json::to_value(&step).unwrap(),
            json!({"command": ["setup", "--yes"], "exit": 0, "output": [{"shards": 1}, {"data": "a"}]})
        );
        let next = DemoStep::new(&["tail"], &printer, Exit::Failed);
        assert!(next.output.is_empty() && next.exit == 1);
    }
}
