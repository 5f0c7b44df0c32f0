//! `streamctl completions`.

use clap::{Args, ValueEnum};
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};

use super::shared::{Session, candidates};
use ground::error::{Error, Result};
use ground::exit::Exit;

/// Print a script that completes commands in your shell
///
/// The shell asks streamctl what can follow: commands, options, values, templates and handlers, and the names of
/// streams, shards, consumers, channels, functions and pipelines of the target. A local cloud that is not running is
/// not started for that.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  source <(streamctl completions bash)                 in ~/.bashrc
  source <(streamctl completions zsh)                  in ~/.zshrc
  streamctl completions fish | source                  in config.fish
  streamctl completions powershell | Out-String | Invoke-Expression")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

/// The variable that makes streamctl answer a shell instead of running a command.
const VARIABLE: &str = "STREAMCTL_COMPLETE";

pub(super) async fn run(args: CompletionsArgs, session: &Session) -> Result<Exit> {
    let shell: &dyn EnvCompleter = match args.shell {
        Shell::Bash => &Bash,
        Shell::Elvish => &Elvish,
        Shell::Fish => &Fish,
        Shell::Powershell => &Powershell,
        Shell::Zsh => &Zsh,
    };
    let mut script = Vec::new();
    shell
        .write_registration(VARIABLE, "streamctl", "streamctl", "streamctl", &mut script)
        .map_err(|error| Error::failed("could not write the completion script").cause(error))?;
    session
        .printer()
        .out(String::from_utf8_lossy(&script).trim_end_matches('\n'))?;
    Ok(Exit::Done)
}

/// Answers the shell if it asks, and tells whether it did. Says nothing where it cannot answer: a message would be drawn
/// over the command line.
pub(super) fn answered() -> bool {
    if std::env::var_os(VARIABLE).is_none_or(|value| value.is_empty()) {
        return false;
    }
    let words = std::env::args_os();
    let directory = std::env::current_dir().ok();
    let definition = || candidates::with_names_of_the_target(super::Cli::definition());
    let completer = clap_complete::CompleteEnv::with_factory(definition).var(VARIABLE);
    // An error leaves the command line as it is.
    completer
        .try_complete(words, directory.as_deref())
        .unwrap_or(true)
}
