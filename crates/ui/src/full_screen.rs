//! A terminal that a command has for itself: alternate screen, raw keys, no cursor. It is given back as it was, also after a
//! panic.
//!
//! Knows nothing of what is shown.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::{Hide, Show};
use crossterm::style::ResetColor;
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use crossterm::{execute, queue};
use ratatui::backend::CrosstermBackend;
use ratatui::{Frame, Terminal};

use ground::error::{Error, Result};
use ground::platform;

/// The terminal, until it is dropped.
pub struct FullScreen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl FullScreen {
    /// Whether there is a terminal to show something on and to read keys from.
    pub fn is_possible() -> bool {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        io::stdout().is_terminal() && io::stdin().is_terminal() && !is_dumb
    }

    /// Takes the terminal.
    ///
    /// # Errors
    /// When the terminal refuses. It is as before then.
    pub fn enter() -> Result<Self> {
        restore_on_panic();
        let backend = CrosstermBackend::new(BufWriter::with_capacity(64 * 1024, io::stdout()));
        let terminal = Terminal::new(backend).map_err(failed)?;
        // From here on, dropping gives the terminal back.
        let screen = Self { terminal };
        take().map_err(failed)?;
        Ok(screen)
    }

    /// Draws a frame. The terminal shows it when it is complete, and only what differs is sent.
    ///
    /// # Errors
    /// When the terminal has gone.
    pub fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> Result<()> {
        self.try_draw(render).map_err(failed)
    }

    fn try_draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal.draw(render)?;
        execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)
    }

    /// Gives the terminal back, stops as Ctrl-Z does, and takes the terminal again when the shell continues.
    ///
    /// # Errors
    /// When the terminal refuses.
    pub fn suspend(&mut self) -> Result<()> {
        give_back();
        // Where the platform cannot stop, it goes on at once.
        let _ = platform::suspend();
        take().map_err(failed)?;
        self.terminal.clear().map_err(failed)
    }

    /// Asks the terminal to put `text` into the clipboard, also over ssh (OSC 52). Some terminals do not allow it.
    ///
    /// # Errors
    /// When the terminal has gone.
    pub fn copy(&mut self, text: &str) -> Result<()> {
        let backend = self.terminal.backend_mut();
        let copied = backend.write_all(clipboard(text).as_bytes());
        copied.and_then(|()| Write::flush(backend)).map_err(failed)
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        give_back();
    }
}

fn failed(error: io::Error) -> Error {
    Error::failed("could not use the terminal").cause(error)
}

/// Whether a command has the terminal for itself. Nothing else may be printed on it then.
pub fn is_shown() -> bool {
    IS_SHOWN.load(Ordering::Relaxed)
}

static IS_SHOWN: AtomicBool = AtomicBool::new(false);

fn take() -> io::Result<()> {
    IS_SHOWN.store(true, Ordering::Relaxed);
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, Hide)
}

fn give_back() {
    IS_SHOWN.store(false, Ordering::Relaxed);
    // There may be no terminal any more.
    let _ = leave(&mut io::stdout());
    let _ = disable_raw_mode();
}

/// Ends everything that [`take`] and [`FullScreen::draw`] have begun, whatever was reached of it.
fn leave(out: &mut impl Write) -> io::Result<()> {
    execute!(out, EndSynchronizedUpdate, ResetColor, LeaveAlternateScreen, Show)
}

/// A message of a panic is printed on the terminal as it was before. Does nothing outside of a full screen.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if crossterm::terminal::is_raw_mode_enabled().unwrap_or(false) {
                give_back();
            }
            previous(info);
        }));
    });
}

/// OSC 52. Source: "XTerm Control Sequences", Manipulate Selection Data.
fn clipboard(text: &str) -> String {
    let data = base64_simd::STANDARD.encode_to_string(text.as_bytes());
    format!("\u{1b}]52;c;{data}\u{7}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_ends_the_update_the_colours_and_the_screen_and_shows_the_cursor() {
        let mut out = Vec::new();
        leave(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "\u{1b}[?2026l\u{1b}[0m\u{1b}[?1049l\u{1b}[?25h");
    }

    #[test]
    fn the_clipboard_gets_base64() {
        assert_eq!(clipboard("arn:aws"), "\u{1b}]52;c;YXJuOmF3cw==\u{7}");
    }
}
