//! The only place that prints: stdout for data, stderr for everything else. It owns reports, tables, progress, charts and
//! the full screen.
//!
//! Knows neither arguments nor settings. It sees the domain only to render its events and reports.

pub mod apply;
pub mod chart;
mod commands;
pub mod full_screen;
pub mod json;
mod message;
mod progress;
mod report;
mod safe;
pub mod sparkline;
mod steps;
mod style;
mod table;
pub mod units;

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::Value;

pub use commands::TargetFlags;
pub use ground::shell::quoted as shell_quoted;
pub use message::wrap;
use progress::Waiting;
pub use progress::{Progress, StatusLine, Step};
pub use report::{Format, Report, lines, or_dash};
pub use safe::visible;
pub use style::Style;
pub use table::{Table, decide_layout, drawing_width, table, width};

use ground::error::{Error, Result};
use ground::exit::Exit;
use report::Printable;

/// Options of the output.
#[derive(Debug, Clone, Default)]
pub struct UiOptions {
    /// Format of reports; `None` is [`Format::Table`].
    pub format: Option<Format>,
    /// No notes and no progress: only data, warnings and errors.
    pub quiet: bool,
    /// No progress bars.
    pub no_progress: bool,
    /// `Some` forces colour on or off; `None` decides by terminal and `NO_COLOR`.
    pub color: Option<bool>,
    /// The flags that commands in messages repeat.
    pub repeated: TargetFlags,
}

/// Writes data to stdout and messages to stderr.
pub struct Printer {
    options: UiOptions,
    data: Mutex<Data>,
    /// Whether stdout is a terminal, which acts on control characters.
    stdout_terminal: bool,
    /// Width of the terminal of stderr; `None` if stderr is not one.
    stderr_width: Option<usize>,
    style: Style,
    progress: Progress,
    waiting: Mutex<Waiting>,
    /// The flags that commands in messages repeat.
    repeated: Mutex<TargetFlags>,
}

/// Where data goes.
enum Data {
    Stdout(BufWriter<io::Stdout>),
    Kept(Vec<u8>),
}

impl Write for Data {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(data),
            Self::Kept(kept) => kept.write(data),
        }
    }

    fn write_all(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.write_all(data),
            Self::Kept(kept) => kept.write_all(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::Kept(_) => Ok(()),
        }
    }
}

/// Control sequences of [`Printer::screen`]. Sources: ECMA-48; "Synchronized Output" (DEC private mode 2026), which terminals
/// without it ignore.
const BEGIN_UPDATE: &str = "\x1b[?2026h";
const END_UPDATE: &str = "\x1b[?2026l";
const HOME: &str = "\x1b[H";
const END_OF_LINE: &str = "\x1b[K\r\n";
const CLEAR_BELOW: &str = "\x1b[J";

/// Cause of an error that means that the reader of stdout has closed the pipe. The command ends with exit 0 and no message.
#[derive(Debug, thiserror::Error)]
#[error("the reader of the output is gone")]
pub struct BrokenPipe;

impl Printer {
    pub fn new(options: UiOptions) -> Self {
        let forced = options.color;
        let color = |stream_is_terminal: bool| {
            forced.unwrap_or_else(|| {
                stream_is_terminal
                    && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
                    && std::env::var_os("TERM").is_none_or(|v| v != "dumb")
            })
        };
        let stdout_terminal = io::stdout().is_terminal();
        let stderr_terminal = io::stderr().is_terminal();
        // A terminal without a width or without cursor movement gets plain lines.
        let is_plain = terminal_width() == 0 || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let hidden = options.quiet || options.no_progress || !stderr_terminal || is_plain;
        Self {
            repeated: Mutex::new(options.repeated.clone()),
            options,
            data: Mutex::new(Data::Stdout(BufWriter::with_capacity(64 * 1024, io::stdout()))),
            stdout_terminal,
            stderr_width: stderr_terminal.then(terminal_width).filter(|&width| width > 0),
            style: Style::new(color(stdout_terminal), color(stderr_terminal)),
            progress: Progress::new(hidden),
            waiting: Mutex::default(),
        }
    }

    /// A printer with the same messages that keeps its data, in `format`, until it is taken with [`Printer::take`].
    pub fn keeping(&self, format: Format) -> Self {
        Self {
            options: UiOptions {
                format: Some(format),
                ..self.options.clone()
            },
            data: Mutex::new(Data::Kept(Vec::new())),
            stdout_terminal: false,
            stderr_width: self.stderr_width,
            style: Style::new(false, self.style.has_stderr_colour()),
            progress: Progress::new(self.progress.is_hidden()),
            waiting: Mutex::default(),
            repeated: Mutex::new(self.repeated()),
        }
    }

    /// The data that was kept since the last call. Empty in a printer that writes to stdout.
    pub fn take(&self) -> Vec<u8> {
        match &mut *self.lock_data() {
            Data::Stdout(_) => Vec::new(),
            Data::Kept(data) => std::mem::take(data),
        }
    }

    fn lock_data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn format(&self) -> Format {
        self.options.format.unwrap_or_default()
    }

    pub fn style(&self) -> &Style {
        &self.style
    }

    /// Whether reports are tables on a terminal.
    fn shows_tables_on_a_terminal(&self) -> bool {
        self.stdout_terminal && self.format() == Format::Table
    }

    /// Progress on stderr. Hidden if stderr is not a terminal.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whether stdout is a terminal that may be drawn on.
    pub fn is_interactive(&self) -> bool {
        self.stdout_terminal && !self.progress.is_hidden()
    }

    /// Shows as progress what the command waits for, in two parts; `None` when it no longer waits. It goes when anything is
    /// printed.
    pub fn waiting(&self, parts: Option<[&str; 2]>) {
        let mut shown = self
            .waiting
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match parts.filter(|_| !self.progress.is_hidden() && !full_screen::is_shown()) {
            Some(parts) => shown.show(&self.progress, parts),
            None => shown.clear(),
        }
    }

    /// Prints a report in the chosen format.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn report(&self, report: &impl Report) -> Result<()> {
        self.print(report)
    }

    /// Not generic: compiled once, and not for each report.
    fn print(&self, report: &dyn Printable) -> Result<()> {
        let text = match self.format() {
            Format::Table if self.style.has_colour() => {
                safe::harmless(&report.table(&self.style)).into_owned()
            }
            Format::Table => safe::data(report.table(&self.style).as_bytes()),
            Format::Text => safe::data(report.text().as_bytes()),
            Format::Csv => {
                let csv = report.csv().ok_or_else(no_csv)?;
                safe::data(csv.as_bytes())
            }
            Format::Json => to_json(&report.value()?, true)?,
            Format::Yaml => to_yaml(&report.value()?)?,
            Format::Raw => return Err(no_raw()),
        };
        let text = text.trim_end_matches('\n');
        // Print nothing for an empty report, not an empty line.
        if !text.is_empty() {
            self.out(text)?;
        }
        self.flush()
    }

    /// Prints a document of another format than this program's, such as an IAM policy: as YAML with `-o yaml`, else as JSON.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn document(&self, document: &Value) -> Result<()> {
        let text = match self.format() {
            Format::Yaml => to_yaml(document)?,
            Format::Table | Format::Json | Format::Text | Format::Csv | Format::Raw => {
                to_json(document, true)?
            }
        };
        self.out(text.trim_end_matches('\n'))?;
        self.flush()
    }

    /// Replaces what is on the screen by `text`, which may be coloured. The terminal shows it at once, without a flicker.
    /// Where stdout is not a terminal, appends `text` and an empty line.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn screen(&self, text: &str) -> Result<()> {
        let text = safe::harmless(text);
        if !self.stdout_terminal {
            self.write(text.trim_end_matches('\n').as_bytes(), b"\n\n")?;
            return self.flush();
        }
        let rows = console::Term::stdout().size().0;
        let shown: Vec<&str> = text
            .lines()
            .take(usize::from(rows.saturating_sub(1)).max(1))
            .collect();
        let mut drawn = format!("{BEGIN_UPDATE}{HOME}");
        for line in shown {
            drawn.push_str(line);
            drawn.push_str(END_OF_LINE);
        }
        drawn.push_str(CLEAR_BELOW);
        self.write(drawn.as_bytes(), END_UPDATE.as_bytes())?;
        self.flush()
    }

    /// Writes complete lines of data to stdout (buffered: see [`Printer::flush`]), escaped if stdout is a terminal.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn out_lines(&self, lines: &str) -> Result<()> {
        lines.lines().try_for_each(|line| self.out(line))
    }

    /// Prints one value as a line of JSON. Raw JSON in it stays as it is written.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn ndjson(&self, value: &impl Serialize) -> Result<()> {
        self.out(&json_line(value)?)
    }

    /// Writes a line of data to stdout (buffered: see [`Printer::flush`]), escaped if stdout is a terminal.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn out(&self, line: &str) -> Result<()> {
        match self.stdout_terminal {
            true => self.write(safe::harmless(line).as_bytes(), b"\n"),
            false => self.write(line.as_bytes(), b"\n"),
        }
    }

    /// Writes the data of somebody else and a terminator to stdout (buffered: see [`Printer::flush`]): byte for byte, but
    /// escaped if stdout is a terminal.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn out_bytes(&self, data: &[u8], end: &[u8]) -> Result<()> {
        match self.stdout_terminal {
            true => self.write(safe::data(data).as_bytes(), end),
            false => self.write(data, end),
        }
    }

    fn write(&self, data: &[u8], end: &[u8]) -> Result<()> {
        self.waiting(None);
        let mut to = self.lock_data();
        to.write_all(data)
            .and_then(|()| to.write_all(end))
            .map_err(stdout_error)
    }

    /// Runs `write`, which writes to stdout, and flushes. Lines of progress stay below what is written.
    ///
    /// # Errors
    /// Those of `write`, and when stdout cannot be written.
    pub fn above_progress(&self, write: impl FnOnce() -> Result<()>) -> Result<()> {
        let write = || write().and_then(|()| self.flush_stdout());
        // Only a terminal shows both.
        match self.stdout_terminal {
            true => self.progress.suspend(write),
            false => write(),
        }
    }

    /// Flushes stdout, and ends the lines of progress.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn flush(&self) -> Result<()> {
        self.waiting(None);
        self.progress.settle();
        self.flush_stdout()
    }

    fn flush_stdout(&self) -> Result<()> {
        self.lock_data().flush().map_err(stdout_error)
    }

    /// A message to the user, on stderr; silent with `--quiet`. Only its first line starts in the first column. On a terminal,
    /// a line that is too long is broken at spaces.
    pub fn note(&self, text: &str) {
        if !self.options.quiet {
            let text = message::note(&self.completed(text), self.stderr_width);
            self.stderr_line(&safe::message(&text));
        }
    }

    /// A list of commands to run next, each with its description, on stderr; silent with `--quiet`.
    pub fn next_steps(&self, steps: &[(String, &str)]) {
        let repeated = self.repeated();
        let complete = |(line, what): &(String, _)| (repeated.complete(line), *what);
        let steps: Vec<(String, &str)> = steps.iter().map(complete).collect();
        self.note(&steps::next_steps(&steps));
    }

    /// `text`; the commands in backticks repeat the flags that choose where this command acts. Messages and errors are
    /// completed when they are printed.
    pub fn completed<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.repeated().complete_all(text)
    }

    /// The flags that commands in messages repeat.
    pub fn repeated(&self) -> TargetFlags {
        self.lock_repeated().clone()
    }

    /// From now on, commands in messages act in `region`.
    pub fn repeat_region(&self, region: &str) {
        self.lock_repeated().set("--region", region);
    }

    fn lock_repeated(&self) -> MutexGuard<'_, TargetFlags> {
        self.repeated.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lines that a function has logged, on stderr and indented, so that none looks like a message of this program; silent
    /// with `--quiet`.
    pub fn log(&self, text: &str) {
        if !self.options.quiet {
            // Lambda separates the fields of its own lines with tabs.
            let line = |line: &str| format!("  {}", safe::visible(&line.replace('\t', "  ")));
            let lines: Vec<String> = text.lines().map(line).collect();
            self.stderr_line(&lines.join("\n"));
        }
    }

    /// A warning on stderr, also with `--quiet`.
    pub fn warn(&self, text: &str) {
        let text = message::warning(&self.completed(text), self.stderr_width, &self.style);
        self.stderr_line(&safe::message(&text));
    }

    /// An error with its causes and its hint, on stderr, also with `--quiet`. On a terminal, lines that are too long are broken
    /// at spaces.
    pub fn error(&self, error: &Error) {
        let complete = |text: &str| self.completed(text).into_owned();
        self.stderr_line(&message::error(error, complete, self.stderr_width, &self.style));
    }

    /// Asks the user to type `name` before `action` ("delete the stream orders"); `yes` skips the question. Stops waiting
    /// when `interrupted` resolves.
    ///
    /// # Errors
    /// Exit 2 without a terminal, exit 1 for another answer, exit 130 when interrupted.
    pub async fn confirm_by_name(
        &self,
        action: &str,
        name: &str,
        yes: bool,
        interrupted: impl Future<Output = ()>,
    ) -> Result<()> {
        if yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(
                Error::usage(format!("refusing to {action} without a confirmation"))
                    .hint("add --yes to confirm where there is no terminal"),
            );
        }
        self.prompt(&format!("This will {action}. Type {name} to confirm: "));
        // Read on another thread: it blocks, and Ctrl-C must be handled meanwhile.
        let reading = tokio::task::spawn_blocking(|| {
            let mut answer = String::new();
            io::stdin().read_line(&mut answer).map(|_| answer)
        });
        let answer = tokio::select! {
            answer = reading => answer
                .unwrap_or_else(|e| Err(io::Error::other(e)))
                .map_err(|e| Error::failed("could not read the answer").cause(e))?,
            () = interrupted => {
                self.prompt("\n");
                return Err(Error::new(Exit::Interrupted, "stopped before the answer; nothing was changed"));
            }
        };
        if answer.trim() == name {
            return Ok(());
        }
        Err(Error::failed("not confirmed; nothing was changed"))
    }

    fn prompt(&self, text: &str) {
        self.waiting(None);
        let mut stderr = anstream::stderr().lock();
        // The command does not fail because a message cannot be printed.
        let _ = write!(stderr, "{}", safe::harmless(text)).and_then(|()| stderr.flush());
    }

    fn stderr_line(&self, text: &str) {
        self.progress.suspend(|| {
            let mut stderr = io::stderr().lock();
            // The command does not fail because a message cannot be printed.
            let _ = writeln!(stderr, "{}", safe::harmless(text));
        });
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

/// Columns of the terminal of stderr, or 80.
fn terminal_width() -> usize {
    let size = console::Term::stderr().size_checked();
    size.map_or(80, |(_, width)| usize::from(width))
}

/// One value as JSON without line ends. Raw JSON in it stays as it is written.
///
/// # Errors
/// When it has no form in JSON.
fn json_line(value: &impl Serialize) -> Result<String> {
    Ok(safe::json(serde_json::to_string(value).map_err(not_json)?))
}

/// Takes a value, and not all that can be serialised: the writers are compiled once.
///
/// # Errors
/// None that a value can cause.
pub fn to_json(value: &Value, pretty: bool) -> Result<String> {
    let text = if pretty {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    Ok(safe::json(text.map_err(not_json)?))
}

/// YAML can escape only in double quotes, which are its other way to write JSON.
///
/// # Errors
/// None that a value can cause.
pub fn to_yaml(value: &Value) -> Result<String> {
    let text = serde_saphyr::to_string(value)
        .map_err(|e| Error::failed("could not write the report as YAML").cause(e.to_string()))?;
    match safe::is_harmless(&text) {
        true => Ok(text),
        false => to_json(value, true),
    }
}

fn not_json(error: serde_json::Error) -> Error {
    Error::failed("could not write the report as JSON").cause(error)
}

/// The command has no CSV form.
pub fn no_csv() -> Error {
    Error::usage("this command does not write CSV").hint("use -o json, -o text, or no -o at all")
}

/// The command has no raw form.
pub fn no_raw() -> Error {
    Error::usage("only tail writes raw records").hint("use -o json, -o text, or no -o at all")
}

fn stdout_error(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Error::new(Exit::Done, "the reader of the output is gone").cause(BrokenPipe);
    }
    Error::failed("could not write to stdout").cause(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_has_nothing_for_a_terminal_and_keeps_its_value() {
        let harmless = serde_json::json!({"name": "日本", "lines": "a\nb"});
        assert_eq!(
            to_yaml(&harmless).unwrap(),
            serde_saphyr::to_string(&harmless).unwrap()
        );
        for harmful in ["\u{9b}2J", "\u{7f}", "user\u{202e}nimda", "\u{1b}[8m", "\u{61c}"] {
            let value = serde_json::json!({"name": harmful});
            let text = to_yaml(&value).unwrap();
            assert!(safe::is_harmless(&text), "{text:?}");
        }
        // JSON is YAML: what JSON reads back, YAML does.
        let value = serde_json::json!({"name": "user\u{202e}nimda"});
        assert_eq!(
            serde_json::from_str::<Value>(&to_yaml(&value).unwrap()).unwrap(),
            value
        );
    }
}
