//! One run of the program: settings, printer, interruption, and the context made on demand.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use etcetera::BaseStrategy;
use tokio::sync::{OnceCell, watch};

use super::{GlobalArgs, StreamArg, TargetArg};
use crate::context::Context;
use crate::settings::{ConfigFile, Flags, Settings, Sources, Target};
use crate::ui::Printer;
use ground::error::{Error, Result};
use ground::platform;

/// What a subcommand is given besides its own arguments.
pub struct Session {
    settings: Settings,
    printer: Arc<Printer>,
    interrupt: Interrupt,
    context: OnceCell<Context>,
    /// The flags that say where to act, as typed.
    place: String,
    local_cloud: Option<daemon::Run>,
}

impl Session {
    /// Resolves the settings and starts to listen for Ctrl-C.
    pub(super) fn new(
        global: &GlobalArgs,
        printer: Arc<Printer>,
        local_cloud: Option<daemon::Run>,
    ) -> Result<Self> {
        let settings = settings(global)?;
        Ok(Self {
            settings,
            printer,
            interrupt: Interrupt::listen(),
            context: OnceCell::new(),
            place: place_as_typed(global),
            local_cloud,
        })
    }

    /// The same terminal and the same Ctrl-C, with other settings: those of the demo.
    pub(super) fn with_settings(&self, settings: Settings) -> Self {
        Self {
            settings,
            printer: self.printer.clone(),
            interrupt: self.interrupt.clone(),
            context: OnceCell::new(),
            place: String::new(),
            local_cloud: self.local_cloud,
        }
    }

    /// The flags that say where to act, for a command line to copy: ` --region eu-west-1`, or nothing.
    pub(super) fn place_as_typed(&self) -> &str {
        &self.place
    }

    /// What flags, environment and files resolve to.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The way to the terminal.
    pub fn printer(&self) -> &Printer {
        &self.printer
    }

    /// The way to the terminal, for those who speak from another task.
    pub(super) fn shared_printer(&self) -> Arc<Printer> {
        Arc::clone(&self.printer)
    }

    /// Ctrl-C.
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Runs the local cloud in this process.
    ///
    /// # Errors
    /// Exit 2 in a streamctl that was built without it.
    pub(super) fn local_cloud(&self) -> Result<daemon::Run> {
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

    /// The context for a command that changes something: target, account and region are named first, on stderr.
    ///
    /// # Errors
    /// Exit 4 when the target is out of reach or refuses the credentials.
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

    /// Asks the user to type `name` before `action`; `yes` skips the question.
    ///
    /// # Errors
    /// As [`Printer::confirm_by_name`].
    pub async fn confirm_by_name(&self, action: &str, name: &str, yes: bool) -> Result<()> {
        self.printer
            .confirm_by_name(action, name, yes, self.interrupt.wait())
            .await
    }

    /// The stream an argument names, or the default one.
    ///
    /// # Errors
    /// Exit 2 when it cannot be the name of a stream.
    pub fn stream(&self, arg: &StreamArg) -> Result<String> {
        let name = arg.stream.as_deref().unwrap_or(&self.settings.stream);
        crate::stream::check_name(name)?;
        Ok(name.to_owned())
    }
}

/// Loads `.env` of the current directory into the environment, where an existing variable wins.
///
/// Called before any thread is started.
pub(super) fn load_dotenv() -> Result<()> {
    match dotenvy::from_path(".env") {
        Ok(()) => Ok(()),
        Err(dotenvy::Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        // Which line it is, never what it says: `.env` files hold secrets.
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

fn place_as_typed(global: &GlobalArgs) -> String {
    let target = global.target.map(|target| match target {
        TargetArg::Aws => "aws",
        TargetArg::Local => "local",
    });
    [
        ("--target", target),
        ("--endpoint-url", global.endpoint_url.as_deref()),
        ("--region", global.region.as_deref()),
        ("--profile", global.profile.as_deref()),
    ]
    .into_iter()
    .filter_map(|(flag, value)| Some(format!(" {flag} {}", value?)))
    .collect()
}

fn settings(global: &GlobalArgs) -> Result<Settings> {
    let flags = Flags {
        target: global.target.map(Into::into),
        endpoint_url: global.endpoint_url.clone(),
        region: global.region.clone(),
        profile: global.profile.clone(),
    };
    let path = global.config.as_deref().unwrap_or(Path::new("streamctl.toml"));
    let base = etcetera::choose_base_strategy().ok();
    let home_dir: Option<PathBuf> = base.as_ref().map(|base| base.home_dir().to_path_buf());
    Settings::resolve(
        &flags,
        &Sources {
            env: &|name| std::env::var(name).ok(),
            file: ConfigFile::read(path, global.config.is_some())?,
            exists: &|path| path.exists(),
            is_ec2: &platform::is_ec2,
            home_dir,
            data_dir: base.map(|base| base.data_dir()),
        },
    )
}

/// Ctrl-C as something to wait for: once to stop cleanly, twice to stop at once.
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

/// Ctrl-C, or the request of a service manager to stop.
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
