//! Sending records to a stream: progress, records that failed, hints and the result. For the commands that send.

pub(crate) mod failed;
mod progress;
pub(crate) mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Session;
use super::stream::or_whereabouts;
use crate::ui::units::counted;
use domain::context::Context;
use domain::produce::{
    Feed, KinesisTransport, PutEnd, PutEvent, PutOptions, PutResult, PutSummary, ResumeFile, Settled,
    StreamLimits, Unsent, put,
};
use domain::record::{BadRecords, Inputs, ReadProgress};
use domain::stream::StreamReference;
use ground::error::Result;
use ground::exit::Exit;
use ground::stop::Stop;

use failed::Unacknowledged;
use progress::SendProgress;
use report::{PutReport, hot_shard, sentence};

/// Where records come from, as far as messages need it.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// The name in messages.
    pub(crate) name: String,
    /// The file, if it is one regular file.
    pub(crate) file: Option<PathBuf>,
    /// Whether it can be read again, from a record on with `--skip`.
    pub(crate) is_repeatable: bool,
    /// Whether the command line has the record.
    pub(crate) is_argument: bool,
    /// Whether the user chose the partition keys.
    pub(crate) has_chosen_keys: bool,
}

impl Origin {
    pub(crate) fn of(inputs: &Inputs, has_chosen_keys: bool) -> Self {
        Self {
            name: inputs.name(),
            file: inputs.single_file().map(ToOwned::to_owned),
            is_repeatable: inputs.is_repeatable(),
            is_argument: inputs.text().is_some(),
            has_chosen_keys,
        }
    }

    /// A message about what was not read; `None` when the whole input was read. `resume` is the file of `--resume`.
    pub(crate) fn rest(
        &self,
        summary: &PutSummary,
        input_ended: bool,
        resume: Option<&Path>,
    ) -> Option<String> {
        let name = &self.name;
        if let Some(path) = resume {
            let missing = !input_ended || summary.stopped > 0;
            return missing.then(|| {
                let path = path.display();
                format!(
                    "the same command continues where it stopped: {path} records how much of {name} was sent"
                )
            });
        }
        // The lines of several files would not tell which.
        let (was, line) = match self.is_repeatable && self.file.is_none() && !self.is_argument {
            true => ("were", String::new()),
            false => ("was", format!(" (line {})", summary.last_line)),
        };
        match summary.last_number {
            _ if input_ended => None,
            0 => Some(format!("nothing was read from {name}")),
            number if self.is_repeatable => Some(format!(
                "{name} {was} read up to record {number}{line}; the same command with `--skip {number}` sends the rest"
            )),
            number => Some(format!(
                "{name} {was} read up to record {number}{line}; what follows was not read"
            )),
        }
    }
}

/// The stream that records are sent to.
pub(crate) struct Recipient<'a> {
    pub(crate) context: &'a Context,
    /// How calls name it.
    pub(crate) stream: String,
    pub(crate) limits: StreamLimits,
}

impl<'a> Recipient<'a> {
    /// Describes the stream.
    ///
    /// # Errors
    /// When it does not exist or does not take records.
    pub(crate) async fn of(
        session: &Session,
        context: &'a Context,
        reference: &StreamReference,
        retry_for: Duration,
    ) -> Result<Self> {
        let stream = reference.address(context).await?;
        let mut waiting = |reason: String| {
            let reason = format!("{stream} could not be described: {reason}");
            session.printer().note(&waiting_for(&reason, retry_for));
        };
        let limits = StreamLimits::of(context.kinesis(), &stream, retry_for, &mut waiting).await;
        let limits = or_whereabouts(context, &stream, limits).await?;
        Ok(Self {
            context,
            stream,
            limits,
        })
    }
}

/// One run of sending.
pub(crate) struct Sending<'a> {
    pub(crate) session: &'a Session,
    pub(crate) recipient: Recipient<'a>,
    /// The stream, if suggested commands have to name it.
    pub(crate) named: Option<String>,
    pub(crate) origin: Origin,
    /// How far the input was read, if that is known.
    pub(crate) read: Option<ReadProgress>,
    pub(crate) bad: Option<Arc<BadRecords>>,
    /// Where the run keeps how far it came.
    pub(crate) resume: Option<ResumeFile>,
}

impl Sending<'_> {
    /// Sends `records`, and reports.
    ///
    /// # Errors
    /// When nothing was sent.
    pub(crate) async fn run(
        mut self,
        records: Feed,
        options: &PutOptions,
        mut failed: Unacknowledged,
    ) -> Result<Exit> {
        let session = self.session;
        let context = &self.recipient.context;
        let transport = KinesisTransport::new(context, &self.recipient.stream)
            .ignoring_keys(self.recipient.limits.ignores_keys);
        let mut follow = Follow::new(session, self.read.clone(), &mut failed, self.resume.as_mut());
        let unkept = follow.unkept.clone();
        let stop = async {
            tokio::select! {
                () = session.interrupt().wait() => {}
                () = unkept.wait() => {}
            }
        };
        let mut on = |event: PutEvent<'_>| follow.on(event);
        let mut outcome = put(records, Arc::new(transport), options, Box::pin(stop), &mut on).await;
        follow.end(&outcome.summary.settled);
        if let (PutEnd::Interrupted | PutEnd::Complete, Some(error)) =
            (&outcome.end, failed.failure(&self.origin.name))
        {
            outcome.end = PutEnd::Aborted(error);
        }
        self.finish(outcome, failed)
    }

    /// Prints the result and returns the exit code.
    fn finish(&self, outcome: PutResult, failed: Unacknowledged) -> Result<Exit> {
        let PutResult {
            summary,
            end,
            input_ended,
        } = outcome;
        let (printer, origin) = (self.session.printer(), &self.origin);
        let stream = &self.recipient.stream;
        let kept = failed.close();
        let some = summary.acknowledged > 0;
        match end {
            // Nothing was sent: the error is enough.
            PutEnd::Aborted(error) if !some && kept.records + kept.lost == 0 => return Err(error),
            PutEnd::BadInput(error) if summary.read == 0 => return Err(error.into_error(&origin.name)),
            _ => {}
        }
        printer.note(&sentence(stream, &summary));
        for line in kept.lines(&summary, self.named.as_deref()) {
            printer.warn(&line);
        }
        if summary.possible_duplicates > 0 {
            printer.warn(&format!(
                "{} may be stored twice: an attempt to send {} had no answer",
                counted(summary.possible_duplicates, "record"),
                if summary.possible_duplicates == 1 {
                    "it"
                } else {
                    "them"
                }
            ));
        }
        self.tell_bad_records();
        for hint in self.hints(&summary) {
            printer.note(&hint);
        }
        let bad = self.bad.as_ref().map_or(0, |bad| bad.count());
        printer.report(&PutReport::new(stream, &summary, &end, &kept, bad))?;
        // Suggest --skip only if something was sent.
        let begun = some || kept.records + kept.lost > 0;
        let resume = self.resume.as_ref().map(ResumeFile::path);
        let rest = origin.rest(&summary, input_ended, resume).filter(|_| begun);
        let tell_rest = || {
            if let Some(rest) = &rest {
                printer.warn(rest);
            }
        };
        let missing = summary.failed + summary.stopped;
        Ok(match end {
            PutEnd::Interrupted => {
                tell_rest();
                Exit::Interrupted
            }
            PutEnd::BadInput(error) => {
                printer.error(&error.into_error(&origin.name));
                tell_rest();
                Exit::Partial
            }
            PutEnd::Aborted(error) => {
                printer.error(&error);
                tell_rest();
                if some { Exit::Partial } else { error.exit() }
            }
            PutEnd::Complete if missing == 0 => Exit::Done,
            PutEnd::Complete if some => Exit::Partial,
            PutEnd::Complete => Exit::Failed,
        })
    }

    fn tell_bad_records(&self) {
        let Some(bad) = &self.bad else { return };
        let printer = self.session.printer();
        if let Some(first) = bad.first() {
            printer.warn(&match bad.count() {
                1 => format!("1 bad record was left out: {first}"),
                count => format!("{count} bad records were left out; the first: {first}"),
            });
        }
        if let Err(error) = bad.flush() {
            printer.warn(&format!("the file of bad records may be incomplete: {error}"));
        }
    }

    /// What the user may want to know about the distribution of the records.
    fn hints(&self, summary: &PutSummary) -> Vec<String> {
        let mut hints = Vec::new();
        let stream = &self.recipient.stream;
        if self.recipient.limits.ignores_keys && self.origin.has_chosen_keys {
            hints.push(format!(
                "{stream} distributes records without regard to their partition keys (AUTO): records with the same key \
                 may be in several shards, in any order"
            ));
            return hints;
        }
        let hot_key = self.read.as_ref().and_then(ReadProgress::hottest);
        if let Some(hot) = hot_key {
            hints.push(report::hot_key(&hot));
        } else if let Some(hint) = hot_shard(summary).filter(|_| self.origin.has_chosen_keys) {
            hints.push(hint);
        }
        hints
    }
}

/// Handles the events of a run.
struct Follow<'a> {
    session: &'a Session,
    progress: SendProgress,
    failed: &'a mut Unacknowledged,
    resume: Option<&'a mut ResumeFile>,
    /// Whether the user was told that the file of `--resume` cannot be written.
    told: bool,
    /// Set once a record could not be kept: nothing more is read, so that no others are lost.
    unkept: Stop,
    /// No record was acknowledged yet.
    untouched: bool,
    throttled: bool,
}

impl<'a> Follow<'a> {
    fn new(
        session: &'a Session,
        read: Option<ReadProgress>,
        failed: &'a mut Unacknowledged,
        resume: Option<&'a mut ResumeFile>,
    ) -> Self {
        Self {
            session,
            progress: SendProgress::new(session.printer().progress().status(), read),
            failed,
            resume,
            told: false,
            unkept: Stop::default(),
            untouched: true,
            throttled: false,
        }
    }

    fn on(&mut self, event: PutEvent<'_>) {
        match event {
            PutEvent::Progress(summary) => {
                self.untouched = summary.acknowledged == 0;
                self.progress.show(summary);
                self.keep(&summary.settled, ResumeFile::keep);
            }
            PutEvent::Throttled { .. } => self.throttled = true,
            PutEvent::Failing { reason, retry_for } => {
                let reason = reason.chain().join(": ");
                self.session.printer().note(&waiting_for(&reason, retry_for));
            }
            PutEvent::Recovered => self.session.printer().note("Sending again"),
            PutEvent::Unsent { record, reason } => {
                if !self.failed.keep(record, reason, self.untouched) {
                    self.unkept.set();
                }
            }
        }
    }

    /// Keeps how far the input is settled.
    fn keep(&mut self, settled: &Settled, write: impl FnOnce(&mut ResumeFile, &Settled) -> Result<()>) {
        let Some(resume) = &mut self.resume else { return };
        // Records are worth more than the file: the run goes on.
        if let Err(error) = write(resume, settled)
            && !std::mem::replace(&mut self.told, true)
        {
            self.session.printer().warn(&error.chain().join(": "));
        }
    }

    fn end(mut self, settled: &Settled) {
        self.keep(settled, ResumeFile::finish);
        self.progress.clear();
        if self.throttled {
            self.session.printer().note(
                "The stream reached its limit at times. More shards or on-demand mode allow more records a second",
            );
        }
    }
}

/// Says that something is tried again.
pub(crate) fn waiting_for(reason: &str, retry_for: Duration) -> String {
    format!(
        "{reason}; trying again for {}",
        ground::duration::format(retry_for)
    )
}

/// Whether the record failed, as opposed to not being sent.
fn is_failure(reason: &Unsent) -> bool {
    matches!(reason, Unsent::Failed(_))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn origin(name: &str, file: Option<&str>, is_repeatable: bool) -> Origin {
        Origin {
            name: name.to_owned(),
            file: file.map(PathBuf::from),
            is_repeatable,
            is_argument: false,
            has_chosen_keys: false,
        }
    }

    #[test]
    fn what_was_not_read_is_named() {
        let summary = PutSummary {
            last_number: 18,
            last_line: 20,
            ..PutSummary::default()
        };
        let stdin = origin("stdin", None, false);
        assert_snapshot!(stdin.rest(&summary, false, None).unwrap(), @"stdin was read up to record 18 (line 20); what follows was not read");
        assert_snapshot!(stdin.rest(&PutSummary::default(), false, None).unwrap(), @"nothing was read from stdin");
        assert_eq!(stdin.rest(&summary, true, None), None);
        let file = origin("a.json", Some("a.json"), true);
        assert_snapshot!(file.rest(&summary, false, None).unwrap(), @"a.json was read up to record 18 (line 20); the same command with `--skip 18` sends the rest");
        let resume = Some(Path::new("r.json"));
        assert_snapshot!(file.rest(&summary, false, resume).unwrap(), @"the same command continues where it stopped: r.json records how much of a.json was sent");
        assert_eq!(file.rest(&summary, true, resume), None);
        let files = origin("3 files", None, true);
        assert_snapshot!(files.rest(&summary, false, None).unwrap(), @"3 files were read up to record 18; the same command with `--skip 18` sends the rest");
    }
}
