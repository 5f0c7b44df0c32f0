//! What a shell offers for a value that is being typed. Asks no service.

use std::ffi::OsStr;

use clap_complete::CompletionCandidate;

use domain::functions::bundle;
use domain::pipeline;

/// The bundled templates that begin with `typed`.
pub(crate) fn templates(typed: &OsStr) -> Vec<CompletionCandidate> {
    let all = pipeline::bundled().map(|one| (one.name.to_owned(), one.description().to_owned()));
    beginning_with(typed, all)
}

/// The bundled handlers that begin with `typed`.
pub(crate) fn handlers(typed: &OsStr) -> Vec<CompletionCandidate> {
    let all = bundle::all()
        .iter()
        .map(|one| (one.name.to_owned(), one.about.to_owned()));
    beginning_with(typed, all)
}

fn beginning_with(typed: &OsStr, all: impl Iterator<Item = (String, String)>) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else {
        return Vec::new();
    };
    all.filter(|(name, _)| name.starts_with(typed))
        .map(|(name, help)| CompletionCandidate::new(name).help(Some(help.into())))
        .collect()
}
