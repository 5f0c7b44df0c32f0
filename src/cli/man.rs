//! `streamctl man`.

use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man;

use super::shared::Session;
use ground::error::{Error, Result};
use ground::exit::Exit;

/// Write the manual pages of all commands
///
/// Writes `streamctl.1` and a page for each command, such as `streamctl-put.1`, to a directory. Pages of that name are
/// replaced.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl man ~/.local/share/man/man1   then: man streamctl-put
  streamctl man . && man ./streamctl.1")]
pub struct ManArgs {
    /// Directory, which is created if it does not exist
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(super) async fn run(args: ManArgs, session: &Session) -> Result<Exit> {
    std::fs::create_dir_all(&args.dir).map_err(|error| not_written(&args.dir, error))?;
    let mut cli = super::Cli::definition().help_template(clap::builder::StyledStr::new());
    cli.build();
    let mut pages = 0;
    write_pages(&cli, &args.dir, &mut pages)?;
    session
        .printer()
        .note(&format!("Wrote {pages} pages to {}", args.dir.display()));
    Ok(Exit::Done)
}

/// Writes the page of `command` and of its subcommands.
fn write_pages(command: &Command, dir: &Path, pages: &mut usize) -> Result<()> {
    let name = command
        .get_display_name()
        .unwrap_or(command.get_name())
        .to_owned();
    let path = dir.join(format!("{name}.1"));
    let mut page = Vec::new();
    Man::new(command.clone())
        .render(&mut page)
        .and_then(|()| std::fs::write(&path, page))
        .map_err(|error| not_written(&path, error))?;
    *pages += 1;
    command
        .get_subcommands()
        .filter(|subcommand| !subcommand.is_hide_set())
        .try_for_each(|subcommand| write_pages(subcommand, dir, pages))
}

fn not_written(path: &Path, error: std::io::Error) -> Error {
    Error::failed(format!("could not write {}", path.display()))
        .cause(error)
        .hint("choose a directory that you can write to")
}
