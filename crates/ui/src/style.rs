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

    pub(super) fn has_stderr_colour(&self) -> bool {
        self.stderr
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

    /// A state of a resource, or what came of it, in the colour that it deserves, on stdout. The words are those of AWS and of
    /// the reports.
    pub fn state(&self, word: &str) -> String {
        match word {
            "ACTIVE" | "ENABLED" | "Enabled" | "OK" | "created" | "create" | "updated" | "deleted"
            | "allowed" | "good" | "open" => self.good(word),
            "CREATING" | "UPDATING" | "DELETING" | "Creating" | "Updating" | "Deleting" | "Enabling"
            | "Disabling" | "Disabled" | "DISABLED" | "INSUFFICIENT_DATA" | "update" | "kept" | "stopped"
            | "skipped" | "caution" => self.caution(word),
            "FAILED" | "ALARM" | "failed" | "refused" | "delete" | "explicitDeny" | "implicitDeny"
            | "fault" => self.bad(word),
            _ => word.to_owned(),
        }
    }

    /// Less important text, on stdout.
    pub fn dim(&self, text: &str) -> String {
        paint(self.stdout, Ansi::new().effects(Effects::DIMMED), text)
    }

    /// Headings, on stdout.
    pub fn bold(&self, text: &str) -> String {
        paint(self.stdout, Ansi::new().effects(Effects::BOLD), text)
    }

    /// Names of members, on stdout.
    pub fn name(&self, text: &str) -> String {
        paint(self.stdout, AnsiColor::Blue.on_default(), text)
    }

    /// One of [`Style::HUES`] colours, on stdout: the same for the same `number`.
    pub fn hue(&self, number: usize, text: &str) -> String {
        const HUES: [AnsiColor; Style::HUES] = [
            AnsiColor::Cyan,
            AnsiColor::Green,
            AnsiColor::Magenta,
            AnsiColor::Yellow,
            AnsiColor::Blue,
            AnsiColor::BrightCyan,
            AnsiColor::BrightGreen,
            AnsiColor::BrightMagenta,
            AnsiColor::BrightYellow,
            AnsiColor::BrightBlue,
        ];
        paint(self.stdout, HUES[number % Self::HUES].on_default(), text)
    }

    /// Colours of [`Style::hue`].
    pub const HUES: usize = 10;

    /// What was searched for, on stdout.
    pub fn found(&self, text: &str) -> String {
        paint(
            self.stdout,
            AnsiColor::Red.on_default().effects(Effects::BOLD),
            text,
        )
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
