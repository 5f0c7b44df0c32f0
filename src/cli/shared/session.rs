//! One run of the program: settings, printer, Ctrl-C, and a context that is made on first use.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::{OnceCell, watch};

use super::damage::warn_of_damage;
use super::global::{Configuration, GlobalArgs};
use super::waiting;
use crate::ui::Printer;
use daemon::StartOptions;
use daemon::home::LocalHome;
use domain::context::{Calls, Context};
use domain::settings::{DEFAULT_REGION, Settings, Target};
use domain::stream::StreamReference;
use ground::error::{Error, Result};
use ground::exit::Exit;
use ground::stop::Stop;

/// The file of the prices that `cost --refresh` reads.
pub(crate) fn price_file(settings: &Settings) -> PathBuf {
    settings.home.join("prices.json")
}

/// What a command is given besides its own arguments.
pub struct Session {
    settings: Settings,
    /// The configuration that the settings are of; `None` in a session with other settings.
    configuration: Option<Arc<Configuration>>,
    printer: Arc<Printer>,
    interrupt: Interrupt,
    context: OnceCell<Context>,
    region_flag: Option<String>,
    /// The ARN that chooses region and account.
    acts_on: OnceLock<StreamReference>,
    local_cloud: Option<daemon::Run>,
    calls: Calls,
}

impl Session {
    /// Starts to listen for Ctrl-C.
    pub(crate) fn new(
        configuration: Configuration,
        global: &GlobalArgs,
        printer: Arc<Printer>,
        local_cloud: Option<daemon::Run>,
    ) -> Self {
        let calls = Calls::default();
        waiting::show(calls.clone(), Arc::downgrade(&printer));
        Self {
            settings: configuration.settings.clone(),
            configuration: Some(Arc::new(configuration)),
            printer,
            interrupt: Interrupt::listen(),
            context: OnceCell::new(),
            region_flag: global.region().map(str::to_owned),
            acts_on: OnceLock::new(),
            local_cloud,
            calls,
        }
    }

    /// A session with the same printer and the same Ctrl-C, and other settings.
    pub(crate) fn with_settings(&self, settings: Settings) -> Self {
        Self {
            settings,
            configuration: None,
            printer: self.printer.clone(),
            interrupt: self.interrupt.clone(),
            context: OnceCell::new(),
            region_flag: None,
            acts_on: OnceLock::new(),
            local_cloud: self.local_cloud,
            calls: self.calls.clone(),
        }
    }

    /// The same session with another printer.
    pub(crate) fn with_printer(self, printer: Printer) -> Self {
        Self {
            printer: Arc::new(printer),
            ..self
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where the settings come from; `None` in a session with other settings.
    pub(crate) fn configuration(&self) -> Option<&Configuration> {
        self.configuration.as_deref()
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

    /// Makes the region of the stream's ARN the region of all calls. Must be called before [`Session::context`].
    ///
    /// # Errors
    /// Exit 2 if `--region` names another region.
    pub(crate) fn act_on(&self, stream: &StreamReference) -> Result<()> {
        let Some(region) = &stream.region else {
            return Ok(());
        };
        if let Some(flag) = self.region_flag.as_ref().filter(|flag| *flag != region) {
            let text = format!("stream {} is in {region}, but --region is {flag}", stream.name);
            return Err(Error::usage(text).hint("leave --region out, or name the stream without its ARN"));
        }
        self.acts_on.get_or_init(|| stream.clone());
        if self.configuration.is_some() {
            self.printer.repeat_region(region);
        }
        Ok(())
    }

    /// Refuses credentials of another account than that of the stream's ARN.
    async fn check_account(&self, context: &Context) -> Result<()> {
        let Some(stream) = self.acts_on.get() else {
            return Ok(());
        };
        let (Some(wanted), Some(account)) = (&stream.account, context.known_account().await?) else {
            return Ok(());
        };
        if wanted == account {
            return Ok(());
        }
        let text = format!(
            "stream {} belongs to account {wanted}, but the credentials to account {account}",
            stream.name
        );
        Err(Error::unreachable(text)
            // Source: "Share access using resource-based policies", Kinesis developer guide.
            .cause("another account can be allowed to describe, write and read a stream, and nothing else")
            .hint("choose a profile of that account with --profile"))
    }

    /// `error`; if the credentials are to blame, its hint names them and the command that mends them.
    pub(crate) fn with_credentials_named(&self, error: Error) -> Error {
        match error.bad_credentials() {
            Some(are_there) if self.settings.target != Target::Local => {
                error.hint(self.settings.mend_credentials(are_there))
            }
            _ => error,
        }
    }

    /// The target's clients, made on first use. Names an endpoint that is neither of AWS nor of the local cloud on stderr.
    ///
    /// # Errors
    /// As [`Context::connect`]. Exit 4 for credentials of another account than that of the stream's ARN.
    pub async fn context(&self) -> Result<&Context> {
        self.connect(true).await
    }

    /// The region of prices: it is found out without a call, and without starting the local cloud.
    ///
    /// # Errors
    /// As [`Context::connect`], where only the profile names a region.
    pub(crate) async fn region(&self) -> Result<String> {
        match (&self.settings.region, &self.settings.target) {
            (Some(region), _) => Ok(region.clone()),
            (None, Target::Local) => Ok(DEFAULT_REGION.to_owned()),
            (None, _) => Ok(self.context().await?.region().to_owned()),
        }
    }

    /// [`Session::context`]; `None` if the target is the local cloud and it does not run. Starts nothing.
    ///
    /// # Errors
    /// As [`Session::context`].
    pub(crate) async fn context_if_running(&self) -> Result<Option<&Context>> {
        let is_local = self.settings.target == Target::Local;
        if is_local && !daemon::status(&self.settings.home).await?.running {
            return Ok(None);
        }
        self.context().await.map(Some)
    }

    async fn connect(&self, names_endpoint: bool) -> Result<&Context> {
        self.context
            .get_or_try_init(|| async {
                if self.settings.target == Target::Local {
                    self.local_cloud()?;
                    self.start_local_cloud().await?;
                }
                let mut settings = self.settings.clone();
                if let Some(region) = self.acts_on.get().and_then(|stream| stream.region.as_ref()) {
                    settings.region = Some(region.clone());
                }
                let context = Context::connect_watched(settings, self.calls.clone()).await?;
                self.check_account(&context).await?;
                if context.fell_to_local() {
                    self.printer
                        .note("This machine is not configured for AWS: using the local cloud (for AWS, set AWS_PROFILE)");
                }
                if names_endpoint && context.is_foreign() {
                    let (target, region) = (context.target_name(), context.region());
                    self.printer.note(&format!("Target: {target}, region {region}"));
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
        let context = self.connect(false).await?;
        let account = context.known_account().await?;
        self.printer.note(&format!(
            "Target: {}, account {}, region {}",
            context.target_name(),
            account.unwrap_or("unknown"),
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
        let _held = self.interrupt.hold();
        tokio::pin!(work);
        tokio::select! {
            biased;
            outcome = &mut work => return outcome,
            () = self.interrupt().wait() => {
                stop.set();
                let text = "Stopping: changes in progress are completed, no others are started (press Ctrl-C again to end at once)";
                self.printer().warn(text);
            }
        }
        work.await
    }

    /// Runs `work` on a thread for work that blocks, such as opening a pipe that has no writer.
    ///
    /// # Errors
    /// Those of `work`; exit 130 on Ctrl-C. The thread is left behind then: it only reads.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        tokio::select! {
            outcome = tokio::task::spawn_blocking(work) => {
                outcome.map_err(|error| Error::failed("reading ended unexpectedly").cause(error))?
            }
            () = self.interrupt.wait() => {
                Err(Error::new(Exit::Interrupted, "stopped before everything was read; nothing was changed"))
            }
        }
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

/// Ctrl-C: once to stop cleanly, twice to stop at once.
///
/// A command that waits for it, or holds it, stops cleanly by itself. At any other time, such as during a first call that
/// is not answered, the first Ctrl-C ends the command.
#[derive(Debug, Clone)]
pub struct Interrupt {
    asked: watch::Receiver<Asked>,
    holders: Arc<AtomicUsize>,
    _listener: Arc<watch::Sender<Asked>>,
}

/// What the user has asked for.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    /// How often.
    times: u8,
    /// Whether something held the first Ctrl-C.
    held: bool,
}

/// While it lives, the holder handles Ctrl-C.
#[derive(Debug)]
pub struct Held(Arc<AtomicUsize>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Interrupt {
    fn listen() -> Self {
        let (sender, asked) = watch::channel(Asked::default());
        let holders = Arc::new(AtomicUsize::new(0));
        let listener = Arc::new(sender);
        let (weak, now_holding) = (Arc::downgrade(&listener), holders.clone());
        tokio::spawn(async move {
            while stop_signal().await.is_ok() {
                let Some(sender) = weak.upgrade() else { return };
                sender.send_modify(|asked| {
                    if asked.times == 0 {
                        asked.held = now_holding.load(Ordering::Relaxed) > 0;
                    }
                    asked.times = asked.times.saturating_add(1);
                });
            }
        });
        Self {
            asked,
            holders,
            _listener: listener,
        }
    }

    /// Handles Ctrl-C until the guard is dropped: the caller must look at [`Interrupt::is_set`] or wait.
    #[must_use]
    pub fn hold(&self) -> Held {
        self.holders.fetch_add(1, Ordering::Relaxed);
        Held(self.holders.clone())
    }

    /// Whether the user has asked to stop.
    pub fn is_set(&self) -> bool {
        self.asked.borrow().times > 0
    }

    /// Returns once the user asks to stop. Holds Ctrl-C while it waits.
    pub async fn wait(&self) {
        let _held = self.hold();
        self.wait_for(|asked| asked.times >= 1).await;
    }

    /// Returns once the user has asked to stop while nothing held Ctrl-C.
    pub async fn wait_unheld(&self) {
        self.wait_for(|asked| asked.times >= 1 && !asked.held).await;
    }

    /// Returns once the user has asked to stop twice.
    pub async fn wait_again(&self) {
        self.wait_for(|asked| asked.times >= 2).await;
    }

    async fn wait_for(&self, is_reached: impl FnMut(&Asked) -> bool) {
        if self.asked.clone().wait_for(is_reached).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Waits for Ctrl-C or, on Unix, SIGTERM, or SIGHUP when the terminal ends. A command that `nohup` started goes on without
/// its terminal.
async fn stop_signal() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = match ground::platform::ignores_hangup() {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        };
        let hung_up = async {
            match &mut hangup {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            outcome = tokio::signal::ctrl_c() => outcome,
            _ = terminate.recv() => Ok(()),
            _ = hung_up => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
