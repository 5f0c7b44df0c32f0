//! Reads templates: bundled ones, and manifest files with the files that they refer to.

pub(crate) mod directory;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};
use toml::Spanned;

use super::manifest::{Declaration, Manifest};
use super::parameter::Parameter;
use super::resources;
use crate::similar::did_you_mean;
use directory::Directory;
use ground::error::{Error, Result};
use ground::file;
use ground::shell::quoted;

/// A template that is part of streamctl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bundled {
    pub name: &'static str,
    pub manifest: &'static str,
    /// Names and texts of the files that the manifest may refer to.
    pub files: &'static [(&'static str, &'static str)],
}

/// File name of a manifest that `streamctl init` writes.
pub const MANIFEST_FILE: &str = "pipeline.toml";

/// Most bytes of a manifest, and of a file that it refers to.
const MOST_BYTES: u64 = 4 << 20;

/// A template with its files. After `from`, files that it shares with another template.
macro_rules! bundle {
    ($name:literal: $($file:literal),* $(; from $other:literal: $($shared:literal),*)?) => {
        Bundled {
            name: $name,
            manifest: include_str!(concat!("../../../../templates/", $name, "/manifest.toml")),
            files: &[
                $(($file, include_str!(concat!("../../../../templates/", $name, "/", $file))),)*
                $($(($shared, include_str!(concat!("../../../../templates/", $other, "/", $shared))),)*)?
            ],
        }
    };
}

const BUNDLED: &[Bundled] = &[
    bundle!("stream": "events.json"),
    bundle!(
        "cart": "events.json", "model.json", "scaler.json", "dashboard.json", "web/index.html", "web/cart.js", "web/common.js",
        "web/common.css", "web/style.css", "web/icon.svg"
    ),
    bundle!(
        "cart-direct": "events.json", "dashboard.json"; from "cart": "web/index.html", "web/cart.js", "web/common.js",
        "web/common.css", "web/style.css", "web/icon.svg"
    ),
    bundle!("concert": "events.json"),
    bundle!("function":),
    bundle!(
        "prices": "events.json", "products.json", "dashboard.json", "web/common.css", "web/common.js", "web/icon.svg",
        "web/images.js", "web/index.html", "web/products.js", "web/style.css"
    ),
    bundle!("realtime": "events.json"),
    bundle!("retail": "events.json", "dashboard.json"),
];

/// The bundled templates, the default one first.
pub fn bundled() -> impl Iterator<Item = &'static Bundled> {
    BUNDLED.iter()
}

/// The part of a manifest that describes the template.
#[derive(Debug, Clone, Deserialize)]
pub struct Head {
    pub name: String,
    /// What the template creates, in one line.
    pub description: String,
    #[serde(default)]
    pub parameters: BTreeMap<String, Parameter>,
}

impl Bundled {
    /// What the template creates, in one line. Reads only that line of the manifest, because every start of the program
    /// builds the help texts.
    pub fn description(&self) -> &'static str {
        let mut lines = self.manifest.lines();
        let line = lines.find_map(|line| line.strip_prefix("description = \""));
        line.and_then(|line| line.strip_suffix('"')).unwrap_or_default()
    }

    /// # Errors
    /// Exit 2 when the manifest is invalid, which a test excludes.
    pub fn head(&self) -> Result<Head> {
        toml::from_str(self.manifest).map_err(|error| {
            Error::usage(format!("template {} is not a valid manifest", self.name)).cause(error)
        })
    }

    /// # Errors
    /// Exit 2 when the manifest is invalid, which a test excludes.
    pub fn read(&'static self) -> Result<Manifest> {
        Manifest::parse_with(
            self.name,
            self.manifest,
            &resources::properties,
            &Files::Bundled(self),
        )
    }
}

/// The template `name`: a bundled one, or a manifest file (anything with a `/` or ending in `.toml`).
///
/// # Errors
/// Exit 2 when it does not exist, or its manifest is invalid.
pub fn template(name: &str) -> Result<Manifest> {
    if name.contains(['/', '\\']) || name.ends_with(".toml") {
        return read_file(Path::new(name));
    }
    find(name)?.read()
}

/// The bundled template `name`.
///
/// # Errors
/// Exit 2 when it does not exist.
pub fn find(name: &str) -> Result<&'static Bundled> {
    let found = BUNDLED.iter().find(|bundled| bundled.name == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = bundled().map(|bundled| bundled.name).collect();
        let meant = did_you_mean(name, names.iter().copied());
        Error::usage(format!("there is no template {name:?}")).hint(format!(
            "{meant}use {}, or the path of a manifest file; `streamctl init` describes each",
            names.join(", ")
        ))
    })
}

/// The arguments that select the pipeline with the identity `pipeline`; `None` if it is not of a bundled template.
pub fn selected_by(pipeline: &str) -> Option<String> {
    let (template, instance) = pipeline.split_once('/')?;
    let manifest = find(template).ok()?.read().ok()?;
    let name = manifest.instance.strip_prefix("${")?.strip_suffix('}')?;
    let default = manifest.parameters.get(name)?.default.as_ref();
    let mut words = match template {
        "stream" => String::new(),
        _ => format!(" {template}"),
    };
    if default.and_then(|value| value.as_str()) != Some(instance) {
        words += &match name {
            "stream" => format!(" --stream {}", quoted(instance)),
            _ => format!(" --param {}", quoted(&format!("{name}={instance}"))),
        };
    }
    Some(words)
}

/// The manifest in the file `path`. Paths in it are relative to its directory.
///
/// # Errors
/// Exit 2 when it cannot be read or is invalid.
pub fn read_file(path: &Path) -> Result<Manifest> {
    let name = path.display().to_string();
    let text = file::read_text(path, MOST_BYTES).map_err(|error| {
        Error::usage(format!("could not read template {name}"))
            .cause(error)
            .hint("give the path of a manifest, as `streamctl init TEMPLATE` writes one")
    })?;
    let dir = match path.parent() {
        Some(dir) if dir != Path::new("") => dir.to_owned(),
        _ => PathBuf::from("."),
    };
    Manifest::parse_with(&name, &text, &resources::properties, &Files::Beside(dir))
}

/// The files that a manifest can refer to.
#[derive(Debug, Clone, Default)]
pub(super) enum Files {
    #[default]
    None,
    /// The files of a bundled template.
    Bundled(&'static Bundled),
    /// Files relative to the directory of the manifest.
    Beside(PathBuf),
}

impl Files {
    /// Replaces the property `body` with the content of the file that it names, completes the directory in `files`, and makes
    /// the path in `handler` independent of the working directory.
    pub(super) fn resolve(&self, declared: &mut Declaration) -> Result<()> {
        let body = declared
            .properties
            .get("body")
            .and_then(|body| file_of(body.get_ref()));
        if let Some(name) = body {
            let value = self
                .read(&name)
                .map_err(|error| declared.problem(&format!("property body: {error}")))?;
            replace(declared, "body", value);
        }
        if let Some(files) = declared.properties.get("files").map(Spanned::get_ref) {
            let directory = self.directory(files);
            let directory =
                directory.map_err(|error| declared.problem(&format!("property files: {error}")))?;
            replace(declared, "files", directory);
        }
        let handler = declared.properties.get("handler").map(Spanned::get_ref);
        if let (Self::Beside(dir), Some(Value::String(path))) = (self, handler)
            && is_relative(path)
        {
            let path = dir.join(path).to_string_lossy().into_owned();
            replace(declared, "handler", path.into());
        }
        Ok(())
    }

    /// The directory that a property names.
    fn directory(&self, declared: &Value) -> Result<Value, String> {
        let path = declared.as_str().filter(|path| !path.contains("${"));
        let path = path.ok_or("give the path of a directory, without references")?;
        let path = path.trim_end_matches('/');
        let directory = match self {
            Self::None => return Err("this manifest cannot refer to files".to_owned()),
            Self::Bundled(bundled) => Directory::bundled(bundled, path),
            Self::Beside(dir) => {
                // Properties are filled in later.
                let dir = dir.to_str().ok_or("the path of the manifest is not UTF-8")?;
                Directory::beside(Path::new(&dir.replace("${", "$${")), path)
            }
        };
        serde_json::to_value(directory).map_err(|error| error.to_string())
    }

    /// The content of the file `name`: the value of a JSON file, or else the text.
    fn read(&self, name: &str) -> Result<Value, String> {
        let text = self.text(name)?;
        if !name.ends_with(".json") {
            return Ok(text.into());
        }
        serde_json::from_str(&text).map_err(|error| format!("{name} is not JSON: {error}"))
    }

    /// The objects in the array that the file `name` contains.
    pub(super) fn items(&self, name: &str) -> Result<Vec<Map<String, Value>>, String> {
        serde_json::from_str(&self.text(name)?)
            .map_err(|error| format!("{name} is not a JSON array of objects: {error}"))
    }

    /// The text of the file `name`.
    pub(super) fn text(&self, name: &str) -> Result<String, String> {
        match self {
            Self::None => Err("this manifest cannot refer to files".to_owned()),
            Self::Bundled(bundled) => {
                let mut files = bundled.files.iter();
                let found = files.find(|(file, _)| *file == name);
                found
                    .map(|(_, text)| (*text).to_owned())
                    .ok_or_else(|| format!("there is no file {name}"))
            }
            Self::Beside(dir) => {
                let path = inside(dir, name)?;
                file::read_text(&path, MOST_BYTES)
                    .map_err(|error| format!("could not read {}: {error}", dir.join(name).display()))
            }
        }
    }
}

/// The path of the file `name` in `dir`. A manifest may come from anybody, and what it refers to is sent to AWS, so it
/// can refer only to files in its own directory.
fn inside(dir: &Path, name: &str) -> Result<PathBuf, String> {
    let outside = || format!("{name} is not in the directory of the manifest");
    let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if name.is_empty() || !Path::new(name).components().all(plain) {
        return Err(outside());
    }
    let path = dir.join(name);
    let unreadable = |error: std::io::Error| format!("could not read {}: {error}", path.display());
    let (real, root) = (
        path.canonicalize().map_err(unreadable)?,
        dir.canonicalize().map_err(unreadable)?,
    );
    // A symbolic link may lead out of the directory.
    match real.starts_with(&root) && real.is_file() {
        true => Ok(real),
        false => Err(outside()),
    }
}

fn file_of(value: &Value) -> Option<String> {
    Some(value.as_str()?.strip_prefix("file:")?.trim().to_owned())
}

/// Whether a handler is a relative path, and not an absolute one, the name of a bundled handler or a parameter.
fn is_relative(handler: &str) -> bool {
    let is_path = handler.contains(['/', '\\']) || handler.ends_with(".zip");
    is_path && !Path::new(handler).is_absolute() && !handler.starts_with("${")
}

fn replace(declared: &mut Declaration, key: &str, value: Value) {
    if let Some(property) = declared.properties.get_mut(key) {
        *property = Spanned::new(property.span(), value);
    }
}

#[cfg(test)]
mod tests;
