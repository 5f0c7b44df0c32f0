//! One run of the program: settings, printer, Ctrl-C, and a context that is made on first use.

use std::sync::Arc;

use tokio::sync::{OnceCell, watch};

use super::damage::warn_of_damage;
use super::global::GlobalArgs;
use crate::ui::Printer;
use daemon::StartOptions;
use daemon::home::LocalHome;
use domain::context::Context;
use domain::settings::{Settings, Target};
use ground::error::{Error, Result};
use ground::stop::Stop;

/// What a command is given besides its own arguments.
pub struct Session {
    settings: Settings,
    printer: Arc<Printer>,
    interrupt: Interrupt,
    context: OnceCell<Context>,
    target_flags: String,
    local_cloud: Option<daemon::Run>,
}

impl Session {
    /// Resolves the settings and starts to listen for Ctrl-C.
    pub(crate) fn new(
        global: &GlobalArgs,
        printer: Arc<Printer>,
        local_cloud: Option<daemon::Run>,
    ) -> Result<Self> {
        Ok(Self {
            settings: global.settings()?,
            printer,
            interrupt: Interrupt::listen(),
            context: OnceCell::new(),
            target_flags: global.target_flags(),
            local_cloud,
        })
    }

    /// A session with the same printer and the same Ctrl-C, and other settings.
    pub(crate) fn with_settings(&self, settings: Settings) -> Self {
        Self {
            settings,
            printer: self.printer.clone(),
            interrupt: self.interrupt.clone(),
            context: OnceCell::new(),
            target_flags: String::new(),
            local_cloud: self.local_cloud,
        }
    }

    /// The flags that choose the target, as typed, for a command line to copy: ` --region eu-west-1`, or nothing.
    pub(crate) fn target_flags(&self) -> &str {
        &self.target_flags
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn printer(&self) -> &Printer {
        &self.printer
    }

    /// A printer handle for other tasks.
    pub(crate) fn shared_printer(&self) -> Arc<Printer> {
        Arc::clone(&self.printer)
    }

    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Runs the local cloud in this process.
    ///
    /// # Errors
    /// Exit 2 in a streamctl that was built without it.
    pub(crate) fn local_cloud(&self) -> Result<daemon::Run> {
        self.local_cloud.ok_or_else(|| {
            Error::usage("this streamctl was built without the local cloud")
                .hint("build it with the feature `local`, or use `--target aws`")
        })
    }

    /// The target's clients, made on first use.
    ///
    /// # Errors
    /// As [`Context::connect`].
    pub async fn context(&self) -> Result<&Context> {
        self.context
            .get_or_try_init(|| async {
                if self.settings.target == Target::Local {
                    self.local_cloud()?;
                    self.start_local_cloud().await?;
                }
                let context = Context::connect(self.settings.clone()).await?;
                if context.fell_to_local() {
                    self.printer
                        .note("No sign of AWS here: using the local cloud (for AWS: set AWS_PROFILE)");
                }
                Ok(context)
            })
            .await
    }

    /// Starts the local cloud if it does not run, and warns of damaged files.
    async fn start_local_cloud(&self) -> Result<()> {
        let home = &self.settings.home;
        // A free lock is seen faster than that nothing answers.
        if LocalHome::new(home).lock_daemon()?.is_some() {
            let started = daemon::start(home, &StartOptions::default()).await?;
            warn_of_damage(&self.printer, &started.damage);
        }
        Ok(())
    }

    /// The context for a command that changes something. Prints target, account and region on stderr first.
    ///
    /// # Errors
    /// Exit 4 when the target cannot be reached or refuses the credentials.
    pub async fn context_for_change(&self) -> Result<&Context> {
        let context = self.context().await?;
        let account = context.account().await?;
        self.printer.note(&format!(
            "Target: {}, account {account}, region {}",
            context.target_name(),
            context.region()
        ));
        Ok(context)
    }

    /// [`Session::context`] for a dry run, else [`Session::context_for_change`].
    ///
    /// # Errors
    /// As the one that is called.
    pub(crate) async fn context_for_change_unless(&self, dry_run: bool) -> Result<&Context> {
        match dry_run {
            true => self.context().await,
            false => self.context_for_change().await,
        }
    }

    /// Runs `work`. Sets `stop` on Ctrl-C and lets `work` finish what it has begun.
    pub(crate) async fn run_until_stopped<T>(&self, stop: &Stop, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        tokio::select! {
            biased;
            outcome = &mut work => return outcome,
            () = self.interrupt().wait() => {
                stop.set();
                let text = "Stopping: what runs is finished, nothing more is begun (Ctrl-C again ends at once)";
                self.printer().warn(text);
            }
        }
        work.await
    }

    /// Asks the user to type `name` before `action`; `yes` skips the question.
    ///
    /// # Errors
    /// As [`Printer::confirm_by_name`].
    pub async fn confirm_by_name(&self, action: &str, name: &str, yes: bool) -> Result<()> {
        self.printer
            .confirm_by_name(action, name, yes, self.interrupt.wait())
            .await
    }
}

/// Loads `.env` of the current directory into the environment. A variable that exists already wins. Must be called before
/// any thread is started.
pub(crate) fn load_dotenv() -> Result<()> {
    match dotenvy::from_path(".env") {
        Ok(()) => Ok(()),
        Err(dotenvy::Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        // Print the number of the line, never its text: `.env` files hold secrets.
        Err(dotenvy::Error::LineParse(line, _)) => {
            let text = std::fs::read_to_string(".env").unwrap_or_default();
            let number = text
                .lines()
                .position(|l| l.trim() == line.trim())
                .map_or(0, |index| index + 1);
            Err(
                Error::usage(format!(".env line {number} is not of the form NAME=value"))
                    .hint("put a # before it to make it a comment"),
            )
        }
        Err(error) => Err(Error::usage(".env could not be read").cause(error)),
    }
}

/// Ctrl-C: once to stop cleanly, twice to stop at once.
#[derive(Debug, Clone)]
pub struct Interrupt {
    count: watch::Receiver<u8>,
    _listener: Arc<watch::Sender<u8>>,
}

impl Interrupt {
    fn listen() -> Self {
        let (sender, count) = watch::channel(0u8);
        let listener = Arc::new(sender);
        let weak = Arc::downgrade(&listener);
        tokio::spawn(async move {
            while stop_signal().await.is_ok() {
                let Some(sender) = weak.upgrade() else { return };
                sender.send_modify(|count| *count = count.saturating_add(1));
            }
        });
        Self {
            count,
            _listener: listener,
        }
    }

    /// Whether the user has asked to stop.
    pub fn is_set(&self) -> bool {
        *self.count.borrow() > 0
    }

    /// Returns once the user asks to stop.
    pub async fn wait(&self) {
        self.wait_for(1).await;
    }

    /// Returns once the user has asked to stop twice.
    pub async fn wait_again(&self) {
        self.wait_for(2).await;
    }

    async fn wait_for(&self, times: u8) {
        if self
            .count
            .clone()
            .wait_for(|count| *count >= times)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }
}

/// Waits for Ctrl-C or, on Unix, SIGTERM.
async fn stop_signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            outcome = tokio::signal::ctrl_c() => outcome,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
