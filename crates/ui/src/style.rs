//! Colours. Output must be understandable without them.

use anstyle::{AnsiColor, Effects, Style as Ansi};

/// Colours for stdout and stderr. Each can be off.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    stdout: bool,
    stderr: bool,
}

impl Style {
    /// `stdout` and `stderr` tell whether the stream has colours.
    pub fn new(stdout: bool, stderr: bool) -> Self {
        Self { stdout, stderr }
    }

    pub fn plain() -> Self {
        Self::new(false, false)
    }

    /// Whether stdout has colours.
    pub fn has_colour(&self) -> bool {
        self.stdout
    }

    /// A good state, on stdout.
    pub fn good(&self, text: &str) -> String {
        paint(self.stdout, AnsiColor::Green.on_default(), text)
    }

    /// A state to look at, on stdout.
    pub fn caution(&self, text: &str) -> String {
        paint(self.stdout, AnsiColor::Yellow.on_default(), text)
    }

    /// A bad state, on stdout.
    pub fn bad(&self, text: &str) -> String {
        paint(self.stdout, AnsiColor::Red.on_default(), text)
    }

    /// Less important text, on stdout.
    pub fn dim(&self, text: &str) -> String {
        paint(self.stdout, Ansi::new().effects(Effects::DIMMED), text)
    }

    /// Headings, on stdout.
    pub fn bold(&self, text: &str) -> String {
        paint(self.stdout, Ansi::new().effects(Effects::BOLD), text)
    }

    pub(super) fn stderr_error(&self, text: &str) -> String {
        paint(
            self.stderr,
            AnsiColor::Red.on_default().effects(Effects::BOLD),
            text,
        )
    }

    pub(super) fn stderr_warning(&self, text: &str) -> String {
        paint(
            self.stderr,
            AnsiColor::Yellow.on_default().effects(Effects::BOLD),
            text,
        )
    }

    pub(super) fn stderr_hint(&self, text: &str) -> String {
        paint(
            self.stderr,
            AnsiColor::Cyan.on_default().effects(Effects::BOLD),
            text,
        )
    }
}

fn paint(on: bool, style: Ansi, text: &str) -> String {
    if on {
        format!("{style}{text}{style:#}")
    } else {
        text.to_owned()
    }
}
