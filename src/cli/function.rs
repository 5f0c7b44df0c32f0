//! What commands on functions share: which function a name means, and code that runs here.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::Session;
use super::deploy::FunctionPart;
use super::template::PartArgs;
use crate::context::Context;
use crate::functions::invoke::{Deployed, deployed};
use crate::functions::runtime::{LocalCode, LocalFunction, Log};
use crate::functions::{Package, bundle};
use crate::pipeline::resources::Kinds;
use crate::pipeline::{self, Draft};
use ground::error::{Error, Result};
use ground::platform;

/// The function that `name` means: that of the template for a bundled handler, else the function of that name.
///
/// # Errors
/// When the template refuses the parameters.
pub(super) async fn function_name(
    session: &Session,
    context: &Context,
    name: &str,
    part: &PartArgs,
) -> Result<String> {
    let Ok(handler) = bundle::find(name) else {
        return Ok(name.to_owned());
    };
    if !pipeline::bundled().any(|template| template.name == handler.template) {
        return Ok(name.to_owned());
    }
    let (manifest, mut request) = part.request(session, handler.template, false)?;
    let part = FunctionPart::of(&manifest, handler.name)?;
    request.only = Some(part.without_mappings());
    let kinds = Kinds::new(context).await?;
    let pipeline = Draft::new(manifest, request)?.bind(&kinds)?;
    let specs = pipeline.specs()?;
    let spec = specs.iter().find(|spec| spec.id == part.function);
    let found = spec
        .and_then(|spec| spec.properties.get("name"))
        .and_then(Value::as_str);
    Ok(found.unwrap_or(name).to_owned())
}

/// Code that runs here in place of a deployed function.
#[derive(Debug, Clone, Args)]
pub(super) struct LocalArgs {
    /// Run this code here: a bundled handler, or the path of a bootstrap or zip
    #[arg(long, value_name = "HANDLER|PATH")]
    pub(super) local: Option<String>,
    /// Environment variable of the code that runs here (repeatable)
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable, requires = "local")]
    environment: Vec<(String, String)>,
    /// Seconds that one invocation may take here [default: the function's, or 60]
    #[arg(long, value_name = "SECONDS", requires = "local", value_parser = clap::value_parser!(u32).range(1..=900))]
    timeout: Option<u32>,
}

/// Code unpacked into a directory of its own, which goes with it.
pub(super) struct Unpacked {
    pub(super) function: LocalFunction,
    _dir: Dir,
}

struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        // What stays behind lies in the directory for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl LocalArgs {
    /// The code of `--local` with the settings of the deployed function `like`, if one is named. What it logs goes to
    /// stderr.
    ///
    /// # Errors
    /// Exit 2 for code that cannot run, or a function that does not exist.
    pub(super) async fn function(
        &self,
        session: &Session,
        context: &Context,
        code: &str,
        like: Option<&str>,
        show_log: bool,
    ) -> Result<(Unpacked, Deployed)> {
        let package = match bundle::find(code) {
            Ok(handler) => handler.package()?,
            Err(_) => Package::from_path(Path::new(code))?,
        };
        let settings = match like {
            Some(name) => deployed(context, name).await?.ok_or_else(|| {
                Error::usage(format!("there is no function {name}"))
                    .hint("leave it out, and give the environment with --env")
            })?,
            None => alone(context, code).await?,
        };
        let dir = unpack(&package)?;
        let mut environment: BTreeMap<String, String> = context
            .environment()
            .await?
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        environment.extend(settings.environment.clone());
        environment.extend(self.environment.iter().cloned());
        let timeout = self.timeout.unwrap_or(settings.timeout_seconds);
        let code = LocalCode {
            directory: dir.0.clone(),
            name: settings.name.clone(),
            handler: settings.handler.clone(),
            arn: settings.arn.clone(),
            memory_mb: settings.memory_mb,
            timeout: Duration::from_secs(u64::from(timeout)),
            environment,
        };
        let printer = session.shared_printer();
        let log: Log = Arc::new(move |line| {
            if show_log {
                printer.note(line);
            }
        });
        let function = LocalFunction::new(code, log);
        Ok((Unpacked { function, _dir: dir }, settings))
    }
}

/// Settings of code that stands for no deployed function.
async fn alone(context: &Context, code: &str) -> Result<Deployed> {
    let bundled = bundle::find(code).map(|handler| handler.name).ok();
    let stem = Path::new(code).file_stem().and_then(|stem| stem.to_str());
    let name = bundled.or(stem).unwrap_or("function").to_owned();
    let (partition, region, account) = (context.partition(), context.region(), context.account().await?);
    Ok(Deployed {
        arn: format!("arn:{partition}:lambda:{region}:{account}:function:{name}"),
        handler: name.clone(),
        memory_mb: 256,
        timeout_seconds: 60,
        role: format!("arn:{partition}:iam::{account}:role/{name}"),
        name,
        ..Deployed::default()
    })
}

fn unpack(package: &Package) -> Result<Dir> {
    let what = "could not unpack the code";
    let name = format!("streamctl-code-{:016x}", rand::random::<u64>());
    let dir = Dir(std::env::temp_dir().join(name));
    platform::create_private_dir(&dir.0).map_err(|e| Error::failed(what).cause(e))?;
    // Refuses names that lead out of the directory.
    zip::ZipArchive::new(Cursor::new(package.bytes.clone()))
        .and_then(|mut zip| zip.extract(&dir.0))
        .map_err(|e| Error::failed(what).cause(e))?;
    Ok(dir)
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| format!("{text:?} is not of the form NAME=value"))?;
    Ok((name.to_owned(), value.to_owned()))
}
