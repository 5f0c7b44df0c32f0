//! `streamctl top`.

mod app;
mod draw;
mod figure;
mod help;
mod overlay;
pub(super) mod report;

use std::time::Duration;

use clap::{Args, ValueEnum};
use crossterm::event::{Event, EventStream, KeyEventKind};
use futures_util::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::shared::Session;
use super::shared::duration::{SECONDS, seconds};
use super::shared::stream::{StreamFlag, or_whereabouts, resolve};
use crate::ui::Printer;
use crate::ui::full_screen::FullScreen;
use crate::ui::sparkline::Glyphs;
use app::{Action, Answer, App, Ask};
use domain::context::Context;
use domain::observe::live::{Collector, Root, View};
use draw::Look;
use ground::error::{Error, Result};
use ground::exit::Exit;
use report::TopReport;

/// How often the view is read, on the local cloud and elsewhere.
const REFRESH_LOCAL: Duration = Duration::from_secs(1);
const REFRESH: Duration = Duration::from_secs(10);

/// Watch streams, shards, records, functions and queues live
#[derive(Debug, Args)]
#[command(after_help = "\
On AWS, CloudWatch has one figure a minute and charges for each metric that is
read: top reads those of the rows on the screen, every 30 seconds.

Examples:
  streamctl top                       all streams; press ? for the keys
  streamctl top orders                the shards of a stream
  streamctl top --view functions --refresh 5s
  streamctl top --once                print it and end
  streamctl top orders --once -o json | jq '.rows[].records_in_per_second'")]
pub struct TopArgs {
    /// Show the shards of this stream, by name or ARN [default: all streams]
    #[arg(value_name = "STREAM", conflicts_with = "stream")]
    word: Option<String>,
    #[command(flatten)]
    flag: StreamFlag,
    /// What to show first
    #[arg(long, value_enum, value_name = "VIEW", conflicts_with_all = ["stream", "word"])]
    view: Option<ViewArg>,
    /// How often to read, 1s to 1h [default: 1s on the local cloud, else 10s]
    #[arg(long, value_name = "TIME", value_parser = seconds::<u64>(SECONDS.between(Duration::from_secs(1), Duration::from_secs(3_600))))]
    refresh: Option<u64>,
    /// Print the view once and end; needs no terminal
    #[arg(long, conflicts_with = "refresh")]
    once: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ViewArg {
    Streams,
    Functions,
    Mappings,
    Queues,
}

impl From<ViewArg> for Root {
    fn from(arg: ViewArg) -> Self {
        match arg {
            ViewArg::Streams => Self::Streams,
            ViewArg::Functions => Self::Functions,
            ViewArg::Mappings => Self::Mappings,
            ViewArg::Queues => Self::Queues,
        }
    }
}

impl TopArgs {
    fn view(&self, session: &Session) -> Result<View> {
        let stream = self.word.as_deref().or(self.flag.stream.as_deref());
        if stream.is_some() {
            let stream = resolve(stream, session)?;
            return Ok(View::Shards { stream });
        }
        let root = self.view.map_or(Root::Streams, Root::from);
        Ok(root.view())
    }
}

pub(super) async fn run(args: TopArgs, session: &Session) -> Result<Exit> {
    let view = args.view(session)?;
    if !args.once && !FullScreen::is_possible() {
        return Err(
            Error::usage("top needs a terminal to draw on and to read keys from")
                .hint("use `streamctl top --once` to print the view"),
        );
    }
    let context = session.context().await?;
    if args.once {
        return print_once(context, &view, session.printer()).await;
    }
    let usual = if context.is_local() {
        REFRESH_LOCAL
    } else {
        REFRESH
    };
    let refresh = args.refresh.map_or(usual, Duration::from_secs);
    let target = format!("{} {}", context.target_name(), context.region());
    let app = App::new(view, target);
    let look = Look {
        glyphs: Glyphs::detect(),
        has_colour: session.printer().style().has_colour(),
    };
    watch(context, app, look, refresh).await
}

async fn print_once(context: &Context, view: &View, printer: &Printer) -> Result<Exit> {
    let found = Collector::new(context).collect(view, &[]).await;
    let mut snapshot = match view {
        View::Shards { stream } => or_whereabouts(context, stream, found).await?,
        _ => found?,
    };
    for note in &mut snapshot.notes {
        *note = printer.completed(note).into_owned();
        printer.note(note);
    }
    printer.report(&TopReport {
        snapshot,
        glyphs: Glyphs::detect(),
    })?;
    Ok(Exit::Done)
}

/// Shows `app` until the user quits. Ctrl-C and SIGTERM drop this, which gives the terminal back.
async fn watch(context: &Context, mut app: App, look: Look, refresh: Duration) -> Result<Exit> {
    let (asks, asked) = watch::channel(app.ask());
    let (answers, mut answered) = mpsc::channel(4);
    let worker = answer(Collector::new(context), asked, answers, refresh);
    tokio::pin!(worker);
    let mut hangup = Hangup::listen();
    let mut screen = FullScreen::enter()?;
    let mut events = EventStream::new();
    let mut is_changed = true;
    loop {
        if std::mem::take(&mut is_changed) {
            screen.draw(|frame| draw::draw(frame, &mut app, look))?;
            asks.send_if_modified(|ask| {
                let next = app.ask();
                let differs = *ask != next;
                *ask = next;
                differs
            });
        }
        let action = tokio::select! {
            () = &mut worker => Action::Quit,
            Some(answer) = answered.recv() => app.take(answer),
            () = hangup.wait() => return Ok(Exit::Interrupted),
            event = events.next() => match event {
                Some(Ok(Event::Key(key))) if key.kind != KeyEventKind::Release => app.key(key),
                Some(Ok(Event::Resize(..))) => Action::Draw,
                Some(Ok(_)) => Action::Nothing,
                // The terminal has gone.
                Some(Err(_)) | None => return Ok(Exit::Interrupted),
            },
        };
        match action {
            Action::Nothing => continue,
            Action::Draw => {}
            Action::Quit => return Ok(Exit::Done),
            Action::Interrupt => return Ok(Exit::Interrupted),
            Action::Suspend => screen.suspend()?,
            Action::Copy(text) => screen.copy(&text)?,
        }
        is_changed = true;
    }
}

/// Reads what is asked for, every `refresh` and when it changes.
async fn answer(
    mut collector: Collector<'_>,
    mut asked: watch::Receiver<Ask>,
    answers: mpsc::Sender<Answer>,
    refresh: Duration,
) {
    let mut ticks = interval(refresh);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last: Option<View> = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            changed = asked.changed() => {
                if changed.is_err() {
                    return;
                }
                let ask = asked.borrow();
                // Other rows of the same view wait for the next refresh.
                if !ask.wants_names && last.as_ref() == Some(&ask.view) {
                    continue;
                }
            }
        }
        let ask = asked.borrow_and_update().clone();
        if ask.wants_names {
            let names = collector.names().await;
            if answers.send(Answer::Names(names)).await.is_err() {
                return;
            }
        }
        let other_view = async {
            // Without a sender there is no other view either, and the next `changed` ends this.
            let _ = asked.wait_for(|now| now.view != ask.view).await;
        };
        let found = tokio::select! {
            found = collector.collect(&ask.view, &ask.seen) => Some(found),
            () = other_view => None,
        };
        let Some(found) = found else {
            // Nobody waits for the answer any more.
            asked.mark_changed();
            continue;
        };
        last = Some(ask.view.clone());
        let answer = match found {
            Ok(snapshot) => Answer::Snapshot(snapshot),
            Err(error) => Answer::Problem(error.chain().join(": ")),
        };
        if answers.send(answer).await.is_err() {
            return;
        }
    }
}

/// The end of the terminal (SIGHUP), where there is such a signal.
struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    fn listen() -> Self {
        Self {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok(),
        }
    }

    async fn wait(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal {
            signal.recv().await;
            return;
        }
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_eighty_columns() {
        let command = clap::Command::new("top").term_width(80).disable_help_flag(true);
        let help = TopArgs::augment_args(command).render_help().to_string();
        insta::assert_snapshot!(help);
        assert!(help.lines().all(|line| line.chars().count() <= 80));
    }
}
