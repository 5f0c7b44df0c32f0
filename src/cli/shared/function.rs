//! What the commands on functions share: the function that a name means, changes of a mapping, code that runs here.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::Session;
use super::duration::seconds;
use super::template::PartArgs;
use domain::context::Context;
use domain::functions::Package;
use domain::functions::bundle::{self, Handler};
use domain::functions::function::rules;
use domain::functions::invoke::{Deployed, deployed};
use domain::functions::mapping::{Event, Mapper, resource_name};
use domain::functions::runtime::{LocalCode, LocalFunction, Log};
use domain::pipeline::resources::Kinds;
use domain::pipeline::{self, Draft, FunctionPart, Given, Request};
use ground::error::{Error, Result};
use ground::platform;

/// The name of a function: for a bundled handler the name in its template, else `name`.
///
/// # Errors
/// Exit 2 for parameters that are not valid.
pub(crate) async fn function_name(
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

/// The name of the stream that the bundled handler reads in its template, if it reads one.
///
/// # Errors
/// Exit 2 for parameters that are not valid.
pub(crate) async fn handler_stream(
    session: &Session,
    context: &Context,
    handler: &Handler,
) -> Result<Option<String>> {
    if !pipeline::bundled().any(|template| template.name == handler.template) {
        return Ok(None);
    }
    let (manifest, mut request) = PartArgs::default().request(session, handler.template, false)?;
    let part = FunctionPart::of(&manifest, handler.name)?;
    request.only = Some(part.ids());
    let kinds = Kinds::new(context).await?;
    let specs = Draft::new(manifest, request)?.bind(&kinds)?.specs()?;
    let mapping = specs.iter().find(|spec| part.mappings.contains(&spec.id));
    let stream = mapping
        .and_then(|spec| spec.properties.get("stream"))
        .and_then(Value::as_str);
    Ok(stream.map(|arn| resource_name(arn).to_owned()))
}

/// The bundled template for a function of your own.
pub(crate) const OWN: &str = "function";

/// Sets the name of the function of the template [`OWN`].
pub(crate) fn name_own(request: &mut Request, name: &str) -> Result<()> {
    rules::check_name(name)?;
    let given = Given::flag("NAME", name);
    match request.given.insert("name".to_owned(), given) {
        Some(other) => Err(Error::usage(format!(
            "{} and {name} both set the name",
            other.source
        ))),
        None => Ok(()),
    }
}

/// Runs `work` with progress. Ctrl-C ends it while it waits.
pub(crate) async fn with_mapper<T>(
    session: &Session,
    context: &Context,
    function: &str,
    work: impl AsyncFnOnce(Mapper<'_>) -> Result<T>,
) -> Result<T> {
    let step = session.printer().progress().step(format!("function {function}"));
    let tell = |event: Event| {
        step.message(event.to_string());
        !session.interrupt().is_set()
    };
    let _held = session.interrupt().hold();
    let outcome = work(Mapper::new(context, &tell)).await;
    step.clear();
    outcome
}

/// Code that runs on this machine instead of a deployed function.
#[derive(Debug, Clone, Args)]
pub(crate) struct LocalCodeArgs {
    /// Run this code on this machine: a bundled handler, or the path of a bootstrap or zip
    #[arg(long, value_name = "HANDLER|PATH")]
    pub(crate) local: Option<String>,
    /// Environment variable of the code (repeatable)
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable, requires = "local")]
    environment: Vec<(String, String)>,
    /// Timeout of an invocation: 1s to 15m [default: that of FUNCTION, or 1m]
    #[arg(long, value_name = "TIME", requires = "local", value_parser = seconds::<u32>(rules::TIMEOUT))]
    timeout: Option<u32>,
}

impl LocalCodeArgs {
    /// `code`, with environment variables and a timeout in seconds.
    pub(crate) fn new(code: String, environment: Vec<(String, String)>, timeout: Option<u32>) -> Self {
        Self {
            local: Some(code),
            environment,
            timeout,
        }
    }
}

/// Code in a temporary directory, which is deleted on drop.
pub(crate) struct Unpacked {
    pub(crate) function: LocalFunction,
    _dir: Dir,
}

struct Dir(PathBuf);

impl Drop for Dir {
    fn drop(&mut self) {
        // A failure leaves a temporary file.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl LocalCodeArgs {
    /// The code of `--local` with the settings of the deployed function `like`, if it is given. The log goes to stderr.
    ///
    /// # Errors
    /// Exit 2 for code that cannot run or a function that does not exist.
    pub(crate) async fn function(
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
            None => default_settings(context, code).await?,
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
                printer.log(line);
            }
        });
        let function = LocalFunction::new(code, log);
        Ok((Unpacked { function, _dir: dir }, settings))
    }
}

/// Settings of code without a deployed function.
async fn default_settings(context: &Context, code: &str) -> Result<Deployed> {
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
    // `extract` refuses paths outside the directory.
    zip::ZipArchive::new(Cursor::new(package.bytes.clone()))
        .and_then(|mut zip| zip.extract(&dir.0))
        .map_err(|e| Error::failed(what).cause(e))?;
    Ok(dir)
}

/// An environment variable as given by `--env`: `NAME=VALUE`.
pub(in crate::cli) fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| format!("{text:?} is not of the form NAME=value"))?;
    Ok((name.to_owned(), value.to_owned()))
}
