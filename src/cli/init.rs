//! `streamctl init`.

use std::path::{Path, PathBuf};

use clap::Args;
use clap_complete::ArgValueCompleter;
use serde::Serialize;

use super::shared::Session;
use super::shared::candidates;
use crate::ui::{Report, Style, shell_quoted, table};
use domain::pipeline::bundled;
use domain::pipeline::source::{self, MANIFEST_FILE};
use ground::error::{Error, Result};
use ground::exit::Exit;

/// List the templates, or write one to edit
///
/// Writes the manifest with its comments and its files, such as sample events, a dashboard and a page. Paths in the manifest
/// are relative to it. Until you change it, the manifest creates the same resources as the template.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl init                             list the templates
  streamctl init retail                      write retail/pipeline.toml
  streamctl setup -f retail/pipeline.toml    apply it
  streamctl init prices --to shop.toml       another path")]
pub struct InitArgs {
    /// Template to write [default: list the templates]
    #[arg(add = ArgValueCompleter::new(candidates::templates))]
    template: Option<String>,
    /// Directory to write to, or the manifest's path (ending in .toml) [default: the template's name]
    #[arg(long, value_name = "DIR|FILE", requires = "template")]
    to: Option<PathBuf>,
    /// Overwrite files that exist
    #[arg(long, requires = "template")]
    force: bool,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(super) struct Templates(Vec<Template>);

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Template {
    name: String,
    description: String,
    parameters: Vec<String>,
}

impl Report for Templates {
    fn table(&self, _style: &Style) -> String {
        let mut table = table(["TEMPLATE", "WHAT IT MAKES"]);
        for one in &self.0 {
            table.add_row([&one.name, &one.description]);
        }
        table.trim_fmt()
    }

    fn text(&self) -> String {
        let lines = self
            .0
            .iter()
            .map(|one| format!("{}\t{}", one.name, one.description));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// The files that were written.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "WrittenFiles"))]
pub(super) struct Written {
    template: String,
    manifest: String,
    files: Vec<String>,
}

impl Report for Written {
    fn table(&self, _style: &Style) -> String {
        self.files.join("\n")
    }

    fn text(&self) -> String {
        self.files.join("\n")
    }
}

pub(super) async fn run(args: InitArgs, session: &Session) -> Result<Exit> {
    let printer = session.printer();
    let Some(name) = &args.template else {
        printer.report(&templates()?)?;
        printer.note(
            "Create one with `streamctl setup TEMPLATE`, or write its files with `streamctl init TEMPLATE` to edit them",
        );
        return Ok(Exit::Done);
    };
    let template = source::find(name)?;
    let manifest = match &args.to {
        Some(path) if path.extension().is_some_and(|extension| extension == "toml") => path.clone(),
        Some(dir) => dir.join(MANIFEST_FILE),
        None => Path::new(name).join(MANIFEST_FILE),
    };
    let dir = manifest.parent().unwrap_or(Path::new("")).to_owned();
    let mut files = vec![(manifest.clone(), template.manifest)];
    files.extend(template.files.iter().map(|(file, text)| (dir.join(file), *text)));
    if !args.force {
        let there: Vec<String> = files
            .iter()
            .filter(|(path, _)| path.symlink_metadata().is_ok())
            .map(|(path, _)| path.display().to_string())
            .collect();
        if !there.is_empty() {
            return Err(Error::usage(format!("{} exists already", there.join(", ")))
                .hint("nothing was written; choose another path with --to, or overwrite with --force"));
        }
    }
    write_all(&files, args.force)?;
    let path = manifest.display().to_string();
    printer.report(&Written {
        template: name.clone(),
        manifest: path.clone(),
        files: files.iter().map(|(path, _)| path.display().to_string()).collect(),
    })?;
    let typed = shell_quoted(&path);
    printer.next_steps(&[
        (format!("streamctl plan -f {typed}"), "show what it creates"),
        (format!("streamctl setup -f {typed}"), "create it"),
    ]);
    Ok(Exit::Done)
}

fn templates() -> Result<Templates> {
    let templates = bundled().map(|bundled| {
        let head = bundled.head()?;
        Ok(Template {
            name: head.name,
            description: head.description,
            parameters: head.parameters.into_keys().collect(),
        })
    });
    templates.collect::<Result<_>>().map(Templates)
}

fn write_all(files: &[(PathBuf, &str)], force: bool) -> Result<()> {
    let failed = |path: &Path, error: std::io::Error| {
        Error::failed(format!("could not write {}", path.display())).cause(error)
    };
    for (path, text) in files {
        let dir = path.parent().unwrap_or(Path::new(""));
        if dir != Path::new("") {
            std::fs::create_dir_all(dir).map_err(|error| failed(dir, error))?;
        }
        let mut options = std::fs::OpenOptions::new();
        options.write(true);
        // Another process may have created the file since the check.
        match force {
            true => options.create(true).truncate(true),
            false => options.create_new(true),
        };
        let mut file = options.open(path).map_err(|error| failed(path, error))?;
        std::io::Write::write_all(&mut file, text.as_bytes()).map_err(|error| failed(path, error))?;
    }
    Ok(())
}
