//! `streamctl local env`: the variables that lead AWS SDKs and tools to the local cloud.

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::cli::shared::Session;
use crate::ui::{Report, Style, lines, shell_quoted};
use domain::settings::{DEFAULT_REGION, SERVICES};
use ground::error::Result;

#[derive(Debug, Args)]
pub(super) struct EnvArgs {
    /// Shell that reads the output; sh is any POSIX shell
    #[arg(long, value_enum, value_name = "SHELL", default_value = "sh")]
    shell: Shell,
    /// Print the command that unsets the variables
    #[arg(long)]
    unset: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Sh,
    Fish,
    Powershell,
}

impl Shell {
    /// The command that sets a variable for this shell and what it starts.
    fn set(self, name: &str, value: &str) -> String {
        match self {
            Self::Sh => format!("export {name}={}", shell_quoted(value)),
            // Source: "Quotes", documentation of fish: in single quotes only `\` and `'` are escaped.
            Self::Fish => {
                let value = value.replace('\\', r"\\").replace('\'', r"\'");
                format!("set -gx {name} '{value}'")
            }
            // Source: "about_Quoting_Rules", PowerShell: in single quotes, two of them stand for one.
            Self::Powershell => format!("$env:{name} = '{}'", value.replace('\'', "''")),
        }
    }

    fn unset(self, names: &[&str]) -> String {
        match self {
            Self::Sh => format!("unset {}", names.join(" ")),
            Self::Fish => format!("set -e {}", names.join(" ")),
            // Source: "Remove-Item", PowerShell: several paths are separated by commas.
            Self::Powershell => {
                let paths: Vec<String> = names.iter().map(|name| format!("Env:{name}")).collect();
                format!("Remove-Item -ErrorAction SilentlyContinue {}", paths.join(","))
            }
        }
    }
}

/// Starts the local cloud if it does not run.
pub(super) async fn run(args: &EnvArgs, session: &Session) -> Result<()> {
    let settings = session.settings();
    let region = settings.region.as_deref().unwrap_or(DEFAULT_REGION);
    let (endpoint, secret) = if args.unset {
        (String::new(), String::new())
    } else {
        let endpoint = daemon::ensure_running(&settings.home).await?;
        (endpoint, daemon::secret_access_key(&settings.home))
    };
    let is_set = |name: &str| std::env::var_os(name).is_some();
    session.printer().report(&Environment {
        variables: variables(&endpoint, &secret, region),
        cleared: cleared(&is_set),
        unset: args.unset,
        shell: args.shell,
    })
}

/// The variables that AWS SDKs and tools read. Source: "Environment variables support", AWS SDKs and Tools reference guide.
fn variables(endpoint: &str, secret: &str, region: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_ACCESS_KEY_ID", daemon::ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ("AWS_REGION", region.to_owned()),
        ("AWS_DEFAULT_REGION", region.to_owned()),
    ]
}

/// Variables that would lead SDKs and tools away from the local cloud, or mix other credentials into the requests. Always
/// those of a session and a profile; endpoints of single services and the switch that ignores endpoints if they are set.
fn cleared(is_set: &dyn Fn(&str) -> bool) -> Vec<&'static str> {
    let services = SERVICES.iter().map(|(_, variable)| *variable);
    let others = services.chain(["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"]);
    ["AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"]
        .into_iter()
        .chain(others.filter(|name| is_set(name)))
        .collect()
}

struct Environment {
    variables: Vec<(&'static str, String)>,
    /// Variables to unset.
    cleared: Vec<&'static str>,
    /// Print how to unset `variables`.
    unset: bool,
    shell: Shell,
}

impl Environment {
    /// Every variable with its value; `None` for one to unset.
    fn all(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        let set = self.variables.iter().map(|(name, value)| {
            let value = (!self.unset).then_some(value.as_str());
            (*name, value)
        });
        let cleared = self.cleared.iter().filter(|_| !self.unset);
        set.chain(cleared.map(|name| (*name, None)))
    }
}

impl Serialize for Environment {
    /// An object of the variables; one to unset is null.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let object: Map<String, Value> = self
            .all()
            .map(|(name, value)| (name.to_owned(), value.map_or(Value::Null, Value::from)))
            .collect();
        object.serialize(serializer)
    }
}

impl Report for Environment {
    fn table(&self, _style: &Style) -> String {
        let export = |(name, value): (&str, Option<&str>)| Some(self.shell.set(name, value?));
        let mut lines: Vec<String> = self.all().filter_map(export).collect();
        let unset: Vec<&str> = self
            .all()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name)
            .collect();
        lines.push(self.shell.unset(&unset));
        lines.join("\n")
    }

    /// One to unset has an empty value.
    fn text(&self) -> String {
        lines(
            self.all()
                .map(|(name, value)| [name.to_owned(), value.unwrap_or_default().to_owned()]),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_is_for_the_shell() {
        let mut report = Environment {
            variables: variables("http://127.0.0.1:4566", "0123456789", "us-east-1"),
            cleared: cleared(&|name| name == "AWS_ENDPOINT_URL_S3"),
            unset: false,
            shell: Shell::Sh,
        };
        insta::assert_snapshot!(report.table(&Style::plain()), @r"
        export AWS_ENDPOINT_URL=http://127.0.0.1:4566
        export AWS_ACCESS_KEY_ID=local
        export AWS_SECRET_ACCESS_KEY=0123456789
        export AWS_REGION=us-east-1
        export AWS_DEFAULT_REGION=us-east-1
        unset AWS_SESSION_TOKEN AWS_PROFILE AWS_DEFAULT_PROFILE AWS_ENDPOINT_URL_S3
        ");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["AWS_SECRET_ACCESS_KEY"], "0123456789");
        let null = [
            "AWS_SESSION_TOKEN",
            "AWS_PROFILE",
            "AWS_DEFAULT_PROFILE",
            "AWS_ENDPOINT_URL_S3",
        ];
        assert!(
            null.iter().all(|name| json.get(name) == Some(&Value::Null)),
            "{json}"
        );
        assert!(report.text().contains("\nAWS_PROFILE\t\n"), "{}", report.text());
        report.shell = Shell::Fish;
        insta::assert_snapshot!(report.table(&Style::plain()), @r"
        set -gx AWS_ENDPOINT_URL 'http://127.0.0.1:4566'
        set -gx AWS_ACCESS_KEY_ID 'local'
        set -gx AWS_SECRET_ACCESS_KEY '0123456789'
        set -gx AWS_REGION 'us-east-1'
        set -gx AWS_DEFAULT_REGION 'us-east-1'
        set -e AWS_SESSION_TOKEN AWS_PROFILE AWS_DEFAULT_PROFILE AWS_ENDPOINT_URL_S3
        ");
        report.shell = Shell::Powershell;
        insta::assert_snapshot!(report.table(&Style::plain()), @r"
        $env:AWS_ENDPOINT_URL = 'http://127.0.0.1:4566'
        $env:AWS_ACCESS_KEY_ID = 'local'
        $env:AWS_SECRET_ACCESS_KEY = '0123456789'
        $env:AWS_REGION = 'us-east-1'
        $env:AWS_DEFAULT_REGION = 'us-east-1'
        Remove-Item -ErrorAction SilentlyContinue Env:AWS_SESSION_TOKEN,Env:AWS_PROFILE,Env:AWS_DEFAULT_PROFILE,Env:AWS_ENDPOINT_URL_S3
        ");
        assert_eq!(Shell::Fish.set("A", r"it's \"), r"set -gx A 'it\'s \\'");
        assert_eq!(Shell::Powershell.set("A", "it's"), "$env:A = 'it''s'");
        report.shell = Shell::Sh;
        report.unset = true;
        insta::assert_snapshot!(
            report.table(&Style::plain()),
            @"unset AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION AWS_DEFAULT_REGION"
        );
    }
}
