//! `site`: static files in a private bucket behind a CloudFront distribution with origin access control. The bucket is a
//! resource of its own.
//!
//! Distributions have no names: ours is the one whose comment is the declared name and that has our tags. The name of the
//! origin access control is the declared name too, and its description says which pipeline made it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::common;
use super::kind::{Existing, Kind, Managed, TagMap};
use crate::context::cloudfront;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Check, CheckState, Outputs};
use crate::pipeline::source::directory::Directory;
use ground::error::Result;

mod content_type;
mod distribution;
mod files;
mod settings;

use files::Stored;
use settings::Settings;

/// The statement of the bucket's policy that is the site's.
const SID: &str = "StreamctlSite";
const INDEX: &str = "index.html";
const CONFIG_FILE: &str = "config.js";
/// CloudFront keeps a file for a day, or until it is invalidated; browsers ask each time whether it has changed.
const CACHE_CONTROL: &str = "public, max-age=0, s-maxage=86400";
const PRICE_CLASSES: [&str; 3] = ["PriceClass_100", "PriceClass_200", "PriceClass_All"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    name: String,
    /// The name of a bucket that holds the files of this site only.
    bucket: String,
    /// A directory with the files.
    files: Directory,
    /// Values for the page, in a file of their own.
    config: Option<Map<String, Value>>,
    config_file: Option<String>,
    /// The file that `/` shows.
    index: Option<String>,
    /// The file that is shown for a path without a file, and the status of that answer.
    error_page: Option<String>,
    error_status: Option<u16>,
    cache_control: Option<String>,
    price_class: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    /// Empty where a run left the origin access control only.
    id: String,
    domain: String,
    deployed: bool,
    settings: Settings,
    /// The id of our origin access control.
    access_control: Option<String>,
    /// Whether the bucket's policy lets the distribution read.
    permitted: bool,
    /// The objects of the bucket, by key.
    files: BTreeMap<String, Stored>,
}

type Site<'a> = Managed<'a, Declared>;

impl Site<'_> {
    fn index(&self) -> &str {
        self.declared.index.as_deref().unwrap_or(INDEX)
    }

    fn config_file(&self) -> &str {
        self.declared.config_file.as_deref().unwrap_or(CONFIG_FILE)
    }

    fn cache_control(&self) -> &str {
        self.declared.cache_control.as_deref().unwrap_or(CACHE_CONTROL)
    }

    fn bucket_arn(&self) -> String {
        format!("arn:{}:s3:::{}", self.location.partition, self.declared.bucket)
    }

    fn arn_of_distribution(&self, id: &str) -> String {
        let (partition, account) = (&self.location.partition, &self.location.account);
        format!("arn:{partition}:cloudfront::{account}:distribution/{id}")
    }

    /// Lets the distribution read the objects of the bucket.
    /// Source: "Restrict access to an Amazon S3 origin", CloudFront developer guide.
    fn statement(&self, id: &str) -> Value {
        json!({
            "Sid": SID,
            "Effect": "Allow",
            "Principal": {"Service": "cloudfront.amazonaws.com"},
            "Action": "s3:GetObject",
            "Resource": format!("{}/*", self.bucket_arn()),
            "Condition": {"StringEquals": {"AWS:SourceArn": self.arn_of_distribution(id)}},
        })
    }

    /// What the origin access control of this pipeline says of itself.
    fn mark(&self) -> String {
        let mark = format!("streamctl {}", self.spec.identity);
        mark.chars().take(256).collect()
    }

    fn check_texts(&self) -> Result<()> {
        let declared = &self.declared;
        // Source: OriginAccessControlConfig, CloudFront API reference.
        if !(1..=64).contains(&declared.name.chars().count()) || declared.name.trim() != declared.name {
            return Err(self.bad_property("the name of a site has 1 to 64 characters"));
        }
        let is_header =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        if !is_header(self.cache_control()) {
            return Err(self.bad_property("cache_control is the value of a header, such as \"max-age=60\""));
        }
        if let Some(class) = &declared.price_class
            && !PRICE_CLASSES.contains(&class.as_str())
        {
            let classes = PRICE_CLASSES.join(", ");
            return Err(self.bad_property(&format!("price_class is one of {classes}")));
        }
        if declared
            .error_status
            .is_some_and(|status| ![200, 404].contains(&status))
        {
            return Err(self.bad_property("error_status is 200 or 404"));
        }
        if declared.error_status.is_some() && declared.error_page.is_none() {
            return Err(self.bad_property("error_status goes with error_page"));
        }
        if declared.config_file.is_some() && declared.config.is_none() {
            return Err(self.bad_property("config_file goes with config"));
        }
        Ok(())
    }

    fn settings_change(&self, existing: &Existing<'_, Facts>) -> Option<Change> {
        let facts = &existing.facts;
        let mut wanted = self.wanted_settings(facts.access_control.as_deref().unwrap_or_default());
        if !self.enforced("price_class", existing) {
            wanted.price_class.clone_from(&facts.settings.price_class);
        }
        if !common::is_known(&self.declared.bucket) {
            wanted.origin.clone_from(&facts.settings.origin);
        }
        if facts.access_control.is_none() {
            return Some(Change::update(
                "settings",
                "another origin access control",
                "ours",
            ));
        }
        let (from, to) = facts.settings.differences(&wanted)?;
        Some(Change::update("settings", from, to))
    }

    fn files_change(&self, existing: &Existing<'_, Facts>) -> Result<Option<Change>> {
        let wanted = self.wanted_files(!self.enforced("config", existing))?;
        let there = &existing.facts.files;
        let difference = files::difference(&wanted, there);
        if difference.is_empty() && !existing.unfinished() {
            return Ok(None);
        }
        let ours = there.values().filter(|file| file.is_ours()).count();
        let from = files::count(ours);
        let to = match difference.is_empty() {
            true => "as declared".to_owned(),
            false => difference.words(),
        };
        Ok(Some(common::lossy_update("files", from, to, difference.loses())))
    }
}

#[async_trait]
impl Kind for Site<'_> {
    const NOUN: &'static str = "site";
    type Facts = Facts;

    fn check(&mut self) -> Result<()> {
        self.check_texts()?;
        let names = self.declared.files.names();
        let names = names.map_err(|problem| self.bad_property(&format!("property files: {problem}")))?;
        let config = self.declared.config.as_ref().map(|_| self.config_file());
        if config.is_some_and(|name| !name.ends_with(".js") && !name.ends_with(".json")) {
            return Err(self.bad_property("config_file ends with .js or .json"));
        }
        let has = |name: &str| names.iter().any(|one| one == name) || config == Some(name);
        for name in [Some(self.index()), self.declared.error_page.as_deref()]
            .into_iter()
            .flatten()
        {
            // They become parts of URLs.
            if !name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._/".contains(c))
            {
                let problem = format!("{name:?} has characters other than letters, digits and -._/");
                return Err(self.bad_property(&problem));
            }
            if !has(name) {
                let path = self.declared.files.path();
                return Err(self.bad_property(&format!("there is no file {name} in {path}")));
            }
        }
        Ok(())
    }

    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn summary(&self) -> String {
        let files = self.declared.files.names().map_or(0, |names| names.len());
        format!("{} behind CloudFront", files::count(files))
    }

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        self.observe_site().await
    }

    fn only_change(&self, facts: &Facts) -> Option<Change> {
        facts.id.is_empty().then_some(Change::Create)
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        changes.extend(self.settings_change(existing));
        if !existing.facts.permitted {
            changes.push(Change::update(
                "bucket policy",
                "none",
                "lets the distribution read",
            ));
        }
        changes.extend(self.files_change(existing)?);
        Ok(changes)
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        self.create_site(step).await
    }

    async fn update(&self, field: &str, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing(format!("setting {field}"));
        let id = &existing.facts.id;
        match field {
            "settings" => {
                let keeps_class = !self.enforced("price_class", existing);
                self.set_settings(id, keeps_class, step).await
            }
            "bucket policy" => self.set_policy(Some(id)).await,
            "files" => self.replace_files(existing, step).await,
            other => Err(self.unknown_field(other)),
        }
    }

    fn tag_target(&self, facts: &Facts) -> String {
        self.arn_of_distribution(&facts.id)
    }

    async fn tag(&self, target: &str, tags: TagMap) -> Result<()> {
        self.put_tags(target, &tags).await
    }

    async fn untag(&self, target: &str, keys: Vec<String>) -> Result<()> {
        self.remove_tags(target, &keys).await
    }

    async fn delete(&self, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        self.delete_site(&existing.facts, step).await
    }

    async fn verify(&self, existing: &Existing<'_, Facts>, _probe: bool) -> Vec<Check> {
        let facts = &existing.facts;
        let mut problems = Vec::new();
        if !facts.settings.enabled {
            problems.push("it is disabled");
        }
        if !facts.permitted {
            problems.push("the policy of its bucket does not let it read");
        }
        let described = match problems.as_slice() {
            [] if !facts.deployed => {
                Check::new(CheckState::Caution, "described", "a change is being deployed")
            }
            [] => Check::new(CheckState::Good, "described", files::count(facts.files.len())),
            problems => Check::new(CheckState::Fault, "described", problems.join("; ")),
        };
        let page = match self.context.serves_distributions() {
            true => Check::of("page", self.get_index(facts).await),
            false => Check::new(
                CheckState::Caution,
                "page",
                "not asked for: this endpoint serves no pages",
            ),
        };
        vec![described, page]
    }

    fn outputs(&self, facts: Option<Facts>) -> Outputs {
        let mut outputs = common::outputs([("name", self.name()), ("bucket", self.declared.bucket.clone())]);
        if let Some(facts) = facts.filter(|facts| !facts.id.is_empty()) {
            outputs.extend(common::outputs([
                ("arn", self.arn_of_distribution(&facts.id)),
                ("url", url(&facts.domain)),
                ("domain", facts.domain),
                ("id", facts.id),
            ]));
        }
        outputs
    }

    /// Source: "Actions, resources, and condition keys" for Amazon CloudFront and Amazon S3, service authorization reference.
    /// A distribution has its id once it exists.
    fn iam(&self) -> Vec<Statement> {
        let (partition, account) = (&self.location.partition, &self.location.account);
        let all = |kind: &str| format!("arn:{partition}:cloudfront::{account}:{kind}/*");
        vec![
            Statement::new(
                &[
                    "cloudfront:ListDistributions",
                    "cloudfront:ListOriginAccessControls",
                ],
                ["*".to_owned()],
            ),
            Statement::new(
                &[
                    "cloudfront:CreateDistribution",
                    "cloudfront:CreateInvalidation",
                    "cloudfront:DeleteDistribution",
                    "cloudfront:GetDistribution",
                    "cloudfront:ListTagsForResource",
                    "cloudfront:TagResource",
                    "cloudfront:UntagResource",
                    "cloudfront:UpdateDistribution",
                ],
                [all("distribution")],
            ),
            Statement::new(
                &[
                    "cloudfront:CreateOriginAccessControl",
                    "cloudfront:DeleteOriginAccessControl",
                    "cloudfront:GetOriginAccessControl",
                ],
                [all("origin-access-control")],
            ),
            Statement::new(
                &[
                    "s3:DeleteBucketPolicy",
                    "s3:GetBucketPolicy",
                    "s3:ListBucket",
                    "s3:PutBucketPolicy",
                ],
                [self.bucket_arn()],
            ),
            Statement::new(
                &["s3:DeleteObject", "s3:GetObject", "s3:PutObject"],
                [format!("{}/*", self.bucket_arn())],
            ),
        ]
    }
}

/// The address of the page, without a slash at its end. On the local cloud it works with browsers and curl.
fn url(domain: &str) -> String {
    let scheme = match cloudfront::is_local(domain) {
        true => "http",
        false => "https",
    };
    format!("{scheme}://{domain}")
}

#[cfg(test)]
mod tests;
