//! `streamctl config`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::shared::Session;
use super::shared::global::CONFIG_FILE;
use crate::ui::{Report, Style, lines, or_dash, table, visible};
use domain::settings::{ConfigFile, Trust, dotenv, edit, is_loopback};
use ground::error::{Error, Result};
use ground::exit::Exit;

/// Show and change settings, and trust those of a directory
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl config show            every setting and where it comes from
  streamctl config show -o json    {\"settings\": [{\"name\": …, \"value\": …, \"from\": …}], …}
  streamctl config get region      one setting
  streamctl config set stream orders
  streamctl config path            the file that `config set` changes
  streamctl config trust           let ./streamctl.toml name an endpoint
  streamctl config untrust         take that back")]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print every setting, its value and where it comes from
    #[command(long_about = show_help())]
    Show,
    /// Print one setting
    ///
    /// Prints what `config show` shows. Ends with exit 1 if nothing sets it and there is no default.
    #[command(after_help = "\
Examples:
  streamctl config get region
  streamctl config get stream -o json    {\"name\": …, \"value\": …, \"from\": …}")]
    Get(GetArgs),
    /// Change a key of streamctl.toml
    ///
    /// Changes the streamctl.toml of the current directory, or the file of --config, and creates it if there is none. Its
    /// comments and its order stay. A file that was trusted stays trusted.
    #[command(after_help = "\
Examples:
  streamctl config set region eu-west-1
  streamctl config set shard_count 4
  streamctl config set target local")]
    Set(SetArgs),
    /// Print the path of the streamctl.toml that is used
    #[command(after_help = "\
Examples:
  streamctl config path
  ${EDITOR:-vi} \"$(streamctl config path)\"")]
    Path,
    /// Let the streamctl.toml of a directory name an endpoint
    ///
    /// A streamctl.toml can name the endpoint that credentials are sent to. Somebody else may have written it, so streamctl
    /// uses an endpoint outside this machine only after you have read the file and trusted it. The trust is for this path
    /// and this content: a changed file must be trusted again. A file that you name with --config needs no trust.
    Trust(DirArgs),
    /// Stop trusting the streamctl.toml of a directory
    Untrust(DirArgs),
}

fn show_help() -> String {
    format!(
        "Print every setting, its value and where it comes from

A setting comes from the first of these that has it: flag, environment variable, .env, streamctl.toml, default. Both files \
         are those of the current directory. Secrets are not printed.

.env can set {}. Its other variables are ignored: it can name neither a file nor a program, an endpoint or a proxy.",
        dotenv::ALLOWED.join(", ")
    )
}

#[derive(Debug, Args)]
struct GetArgs {
    /// Name of the setting, as in `config show`
    #[arg(value_name = "KEY")]
    key: String,
}

#[derive(Debug, Args)]
struct SetArgs {
    /// Key: endpoint_url, environment, profile, region, shard_count, stream, target or
    /// timeout
    #[arg(value_name = "KEY")]
    key: String,
    /// The new value
    #[arg(value_name = "VALUE")]
    value: String,
}

#[derive(Debug, Args)]
struct DirArgs {
    /// Directory of the streamctl.toml
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

pub(super) async fn run(args: ConfigArgs, session: &Session) -> Result<Exit> {
    match args.command {
        ConfigCommand::Show => show(session)?,
        ConfigCommand::Get(args) => get(&args.key, session)?,
        ConfigCommand::Set(args) => set(args, session).await?,
        ConfigCommand::Path => path(session)?,
        ConfigCommand::Trust(args) => trust(&args.dir, session).await?,
        ConfigCommand::Untrust(args) => untrust(&args.dir, session)?,
    }
    Ok(Exit::Done)
}

fn show(session: &Session) -> Result<()> {
    let Some(configuration) = session.configuration() else {
        return Err(Error::failed("these settings come from another command"));
    };
    let settings = configuration.explained.iter().map(|one| Setting {
        name: one.name,
        value: one.value.clone(),
        from: one.source.to_string(),
    });
    let file = configuration.file.as_ref().map(|source| File {
        path: source.path.display().to_string(),
        named: source.named,
        trusted: source.named || Trust::new(&session.settings().home).has(&source.path, &source.text),
    });
    session.printer().report(&Settings {
        settings: settings.collect(),
        file,
        ignored: configuration.ignored.clone(),
    })
}

fn get(key: &str, session: &Session) -> Result<()> {
    let explained = session.configuration().map_or(&[][..], |found| &found.explained);
    let Some(found) = explained.iter().find(|one| one.name == key) else {
        let names: Vec<&str> = explained.iter().map(|one| one.name).collect();
        return Err(Error::usage(format!("there is no setting {key:?}"))
            .hint(format!("the settings are {}", names.join(", "))));
    };
    if found.value.is_none() {
        return Err(Error::failed(format!("nothing sets {key}"))
            .hint("`streamctl config show` shows every setting and where it comes from"));
    }
    session.printer().report(&Setting {
        name: found.name,
        value: found.value.clone(),
        from: found.source.to_string(),
    })
}

async fn set(args: SetArgs, session: &Session) -> Result<()> {
    let path = config_path(session);
    let (key, value) = (args.key.clone(), args.value.clone());
    let edited = session.read(move || edit::set(&path, &key, &value)).await?;
    let trust = Trust::new(&session.settings().home);
    if trust.has(&edited.path, &edited.before) {
        trust.add(&edited.path, &edited.after)?;
    } else if args.key == "endpoint_url" && !is_loopback(&args.value) {
        session.printer().note(
            "The endpoint is used once you trust the file: `streamctl config trust`, or name it with --config",
        );
    }
    session.printer().report(&Changed {
        path: edited.path.display().to_string(),
        changed: edited.before != edited.after,
        key: args.key,
        value: args.value,
    })
}

fn path(session: &Session) -> Result<()> {
    let path = config_path(session);
    session.printer().report(&Location {
        exists: path.exists(),
        path: path.display().to_string(),
    })
}

/// The file of --config, or the one of the working directory, whether it exists or not.
fn config_path(session: &Session) -> PathBuf {
    let file = session.configuration().and_then(|found| found.file.as_ref());
    let path = file.map_or(Path::new(CONFIG_FILE), |source| source.path.as_path());
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

async fn trust(dir: &Path, session: &Session) -> Result<()> {
    let path = dir.join(CONFIG_FILE);
    let shown = path.display().to_string();
    let file = session.read(move || ConfigFile::read(&path, false)).await?;
    let Some(source) = file.source else {
        return Err(Error::usage(format!("there is no {shown}"))
            .hint("name the directory of a streamctl.toml, or run the command there"));
    };
    Trust::new(&session.settings().home).add(&source.path, &source.text)?;
    session.printer().report(&Trusted {
        path: shown,
        trusted: true,
        endpoint_url: file.endpoint_url,
    })
}

fn untrust(dir: &Path, session: &Session) -> Result<()> {
    let path = dir.join(CONFIG_FILE);
    let was = Trust::new(&session.settings().home).remove(&path)?;
    if !was {
        session
            .printer()
            .note(&format!("{} was not trusted", path.display()));
    }
    session.printer().report(&Trusted {
        path: path.display().to_string(),
        trusted: false,
        endpoint_url: None,
    })
}

/// The form with `-o json` is a stable contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SettingsReport"))]
pub(super) struct Settings {
    settings: Vec<Setting>,
    /// `streamctl.toml`, or the file of `--config`.
    file: Option<File>,
    /// Variables of `.env` that do not count.
    ignored: Vec<String>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SettingReport"))]
pub(super) struct Setting {
    name: &'static str,
    /// `None` if nothing sets it.
    value: Option<String>,
    /// What sets it, in words.
    from: String,
}

impl Report for Setting {
    fn table(&self, _style: &Style) -> String {
        self.text()
    }

    fn text(&self) -> String {
        self.value.clone().unwrap_or_default()
    }
}

/// The form with `-o json` is a stable contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ChangedSetting"))]
pub(super) struct Changed {
    path: String,
    /// Whether the file was written; false if it had the value already.
    changed: bool,
    key: String,
    value: String,
}

impl Report for Changed {
    fn table(&self, _style: &Style) -> String {
        let word = if self.changed { "is now" } else { "was already" };
        format!("{} {word} {} in {}", self.key, visible(&self.value), self.path)
    }

    fn text(&self) -> String {
        lines([[
            self.changed.to_string(),
            self.key.clone(),
            self.value.clone(),
            self.path.clone(),
        ]])
    }
}

/// The form with `-o json` is a stable contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SettingsPath"))]
pub(super) struct Location {
    path: String,
    exists: bool,
}

impl Report for Location {
    fn table(&self, _style: &Style) -> String {
        self.path.clone()
    }

    fn text(&self) -> String {
        self.path.clone()
    }
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct File {
    path: String,
    /// Whether `--config` names it.
    named: bool,
    trusted: bool,
}

impl Settings {
    fn rows(&self) -> Vec<[String; 3]> {
        let settings = self.settings.iter().map(|one| {
            let value = or_dash(one.value.as_deref());
            [one.name.to_owned(), value, one.from.clone()]
        });
        let file = self.file.iter().map(|file| {
            let state = match (file.named, file.trusted) {
                (true, _) => "named with --config",
                (false, true) => "trusted",
                (false, false) => "not trusted",
            };
            ["file".to_owned(), file.path.clone(), state.to_owned()]
        });
        let ignored = self
            .ignored
            .iter()
            .map(|name| ["ignored".to_owned(), name.clone(), ".env".to_owned()]);
        settings.chain(file).chain(ignored).collect()
    }
}

impl Report for Settings {
    fn table(&self, _style: &Style) -> String {
        let mut table = table(["SETTING", "VALUE", "FROM"]);
        for row in self.rows() {
            table.add_row(row);
        }
        table.trim_fmt()
    }

    fn text(&self) -> String {
        lines(self.rows())
    }
}

/// The form with `-o json` is a stable contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "TrustReport"))]
pub(super) struct Trusted {
    path: String,
    trusted: bool,
    /// The endpoint that the file names.
    endpoint_url: Option<String>,
}

impl Report for Trusted {
    fn table(&self, _style: &Style) -> String {
        match (self.trusted, &self.endpoint_url) {
            (true, Some(url)) => format!("{} is trusted: credentials may be sent to {url}", self.path),
            (true, None) => format!("{} is trusted; it names no endpoint", self.path),
            (false, _) => format!("{} is not trusted", self.path),
        }
    }

    fn text(&self) -> String {
        format!("{}\t{}", self.trusted, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_the_source_of_each_setting() {
        let settings = Settings {
            settings: vec![
                Setting {
                    name: "target",
                    value: Some("https://example.com".to_owned()),
                    from: "streamctl.toml".to_owned(),
                },
                Setting {
                    name: "profile",
                    value: None,
                    from: "default".to_owned(),
                },
            ],
            file: Some(File {
                path: "streamctl.toml".to_owned(),
                named: false,
                trusted: false,
            }),
            ignored: vec!["LD_PRELOAD".to_owned()],
        };
        insta::assert_snapshot!(settings.table(&Style::plain()), @r"
        SETTING  VALUE                FROM
        target   https://example.com  streamctl.toml
        profile  -                    default
        file     streamctl.toml       not trusted
        ignored  LD_PRELOAD           .env
        ");
    }
}
