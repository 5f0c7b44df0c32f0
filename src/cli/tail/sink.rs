//! Where records go that are shown: stdout, files, a function, or nowhere but the statistics.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::files::Files;
use super::invoke::Function;
use super::line::LineFormat;
use super::pattern::Place;
use crate::ui::Printer;
use domain::consume::Item;
use domain::consume::stats::Stats;
use ground::error::Result;

/// Where items are written.
pub(super) enum Target {
    Stdout(LineFormat),
    Files(LineFormat, Files),
    /// They are only counted.
    Stats(Stats),
    /// Its invocations take whole batches.
    Function(Box<Function>),
}

/// Writes items.
pub(super) struct Sink {
    pub(super) target: Target,
    pub(super) zone: TimeZone,
    /// Whether each line names its stream.
    pub(super) names_streams: bool,
}

impl Sink {
    /// A sink that writes no lines.
    pub(super) fn to(target: Target) -> Self {
        Self {
            target,
            zone: TimeZone::UTC,
            names_streams: false,
        }
    }

    /// Writes the item with the number `count`.
    ///
    /// # Errors
    /// Exit 1 if it cannot be written.
    pub(super) fn write(
        &mut self,
        printer: &Printer,
        stream: &Arc<str>,
        item: &Item<'_>,
        count: u64,
    ) -> Result<()> {
        let place = Place {
            stream,
            zone: &self.zone,
            count,
        };
        let several = self.names_streams;
        match &mut self.target {
            Target::Stdout(format) => format.print(printer, item, place, several),
            Target::Files(format, files) => {
                let append = |out: &mut Vec<u8>| format.append(out, item, place, several);
                files.write(stream, &item.record.shard_id, append)
            }
            Target::Stats(stats) => {
                stats.add(stream, item);
                Ok(())
            }
            Target::Function(_) => Ok(()),
        }
    }

    /// Makes sure that what was written is where it belongs. stdout is flushed by its user.
    ///
    /// # Errors
    /// As [`Sink::write`].
    pub(super) fn flush(&mut self) -> Result<()> {
        match &mut self.target {
            Target::Files(_, files) => files.flush(),
            Target::Stdout(_) | Target::Stats(_) | Target::Function(_) => Ok(()),
        }
    }

    pub(super) fn stats(&self) -> Option<&Stats> {
        match &self.target {
            Target::Stats(stats) => Some(stats),
            Target::Stdout(_) | Target::Files(..) | Target::Function(_) => None,
        }
    }
}
