//! Progress on stderr with indicatif. Hidden if stderr is not a terminal.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::safe::visible;

/// All progress lines of this process.
#[derive(Debug, Clone)]
pub struct Progress {
    hidden: bool,
    lines: Arc<Mutex<MultiProgress>>,
}

/// One line of progress: a resource being changed, a file being sent.
#[derive(Debug)]
pub struct Step {
    bar: ProgressBar,
    name: String,
}

impl Progress {
    pub(super) fn new(hidden: bool) -> Self {
        Self {
            hidden,
            lines: Arc::new(Mutex::new(on_stderr(hidden))),
        }
    }

    pub fn is_hidden(&self) -> bool {
        self.hidden
    }

    /// Ends the lines drawn so far. Otherwise the next progress update would overwrite output on stdout.
    pub(super) fn settle(&self) {
        if !self.hidden {
            *self.lock() = on_stderr(false);
        }
    }

    /// Removes all lines from the screen.
    pub(super) fn clear(&self) {
        if !self.hidden {
            // The screen that cannot be written shows nothing.
            let _ = self.lock().clear();
            *self.lock() = on_stderr(false);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, MultiProgress> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line with a spinner, a name and a changing message.
    pub fn step(&self, name: impl Into<String>) -> Step {
        let name = visible(&name.into());
        let bar = self.lock().add(ProgressBar::new_spinner());
        bar.set_style(template("{spinner} {prefix}  {wide_msg}"));
        bar.set_prefix(name.clone());
        bar.enable_steady_tick(Duration::from_millis(100));
        Step { bar, name }
    }

    /// A line with a spinner and a changing message.
    pub fn status(&self) -> Step {
        let bar = self.lock().add(ProgressBar::new_spinner());
        bar.set_style(template("{spinner} {wide_msg}"));
        bar.enable_steady_tick(Duration::from_millis(200));
        Step {
            bar,
            name: String::new(),
        }
    }

    /// A line without a spinner, which continues the one before it.
    fn continuation(&self) -> Step {
        let bar = self.lock().add(ProgressBar::new_spinner());
        bar.set_style(template("  {wide_msg}"));
        Step {
            bar,
            name: String::new(),
        }
    }

    /// A line that says what goes on until it is dropped; `None` where no progress is shown.
    pub fn status_line(&self, text: &str) -> Option<StatusLine> {
        if self.hidden {
            return None;
        }
        let step = self.status();
        step.message(text);
        Some(StatusLine(step))
    }

    /// Runs `print` with the lines hidden.
    pub fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        let lines = self.lock().clone();
        lines.suspend(print)
    }
}

/// What the command waits for: on one line, or on two where it is too long.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    first: Option<Step>,
    second: Option<Step>,
}

impl Waiting {
    /// Shows a text of two parts.
    pub(super) fn show(&mut self, progress: &Progress, [what, more]: [&str; 2]) {
        let first = self.first.get_or_insert_with(|| progress.status());
        let (line, rest) = fit(what, more, first.room());
        first.message(line);
        match rest {
            Some(rest) => {
                let second = self.second.get_or_insert_with(|| progress.continuation());
                second.message(rest);
            }
            None => clear(&mut self.second),
        }
    }

    pub(super) fn clear(&mut self) {
        clear(&mut self.second);
        clear(&mut self.first);
    }
}

fn clear(step: &mut Option<Step>) {
    if let Some(step) = step.take() {
        step.clear();
    }
}

/// The line of `what` and `more`; `more` apart where both do not fit in `room` columns.
fn fit<'a>(what: &str, more: &'a str, room: usize) -> (String, Option<&'a str>) {
    let line = format!("{what} {more}");
    match line.chars().count() <= room {
        true => (line.trim_end().to_owned(), None),
        false => (what.to_owned(), Some(more)),
    }
}

/// A line of progress that is removed when it is dropped.
#[derive(Debug)]
pub struct StatusLine(Step);

impl StatusLine {
    pub fn message(&self, text: impl Into<String>) {
        self.0.message(text);
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.0.clear();
    }
}

impl Step {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Columns of the terminal for the message of a line without a name.
    pub fn room(&self) -> usize {
        const SPINNER: usize = 2;
        let size = console::Term::stderr().size_checked();
        // The last column stays empty: some terminals break the line there.
        size.map_or(80, |(_, width)| usize::from(width))
            .saturating_sub(SPINNER + 1)
    }

    /// Shows what is being done.
    pub fn message(&self, text: impl Into<String>) {
        self.bar.set_message(visible(&text.into()));
    }

    /// Ends the line with a final message, such as "created".
    pub fn finish(&self, text: impl Into<String>) {
        self.bar.set_style(template("  {prefix}  {wide_msg}"));
        self.bar.finish_with_message(visible(&text.into()));
    }

    /// Removes the line.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn on_stderr(hidden: bool) -> MultiProgress {
    MultiProgress::with_draw_target(if hidden {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    })
}

fn template(text: &str) -> ProgressStyle {
    // The templates are literals of this file. A wrong one shows as the default style.
    ProgressStyle::with_template(text).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_for_a_line_continues_on_the_next() {
        let fit = |room| fit("Waiting for a", "at b", room);
        assert_eq!(fit(18), ("Waiting for a at b".to_owned(), None));
        assert_eq!(fit(17), ("Waiting for a".to_owned(), Some("at b")));
    }
}
