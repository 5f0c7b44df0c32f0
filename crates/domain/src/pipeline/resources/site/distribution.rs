//! The calls that observe, create, change and delete the distribution, its origin access control, and the statement in the
//! policy of the bucket.

use std::time::Duration;

use ground::xml::Node;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::Instant;

use super::super::common::{self, Wait};
use super::super::kind::{Existing, TagMap};
use super::files::on;
use super::settings::{Settings, list};
use super::{Facts, SID, Site};
use crate::context::cloudfront::{Document, Request};
use crate::pipeline::event::Step;
use crate::pipeline::source::directory::MOST_BYTES;
use crate::pipeline::tags::{self, Owner, UNFINISHED};
use ground::error::{Error, Result};

/// Pages of a listing that are read at most.
const MAX_PAGES: usize = 100;
/// How long a change may take until all edge locations have it. AWS says some minutes.
const DEPLOYED: Duration = Duration::from_secs(30 * 60);
/// How long a deleted distribution may still use its origin access control.
const LAG: Duration = Duration::from_secs(60);
/// How often a change is repeated because somebody else changed the distribution meanwhile.
const TRIES: usize = 3;
/// How long the page may not answer after a change.
const ANSWERS: Duration = Duration::from_secs(20);

fn tags_node(tags: &TagMap) -> Node {
    let tag = |(key, value): (&String, &String)| {
        Node::of("Tag", vec![Node::leaf("Key", key), Node::leaf("Value", value)])
    };
    Node::of("Tags", vec![Node::of("Items", tags.iter().map(tag).collect())])
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// What was observed of a distribution.
struct Found {
    id: String,
    tags: TagMap,
}

impl Site<'_> {
    async fn call(&self, request: Request<'_>, action: &str) -> Result<Document> {
        self.context.call_cloudfront(request, self.failure(action)).await
    }

    async fn get(&self, path: &str, action: &str) -> Result<Document> {
        let request = Request {
            method: "GET",
            path,
            ..Request::default()
        };
        self.call(request, action).await
    }

    /// All items of a listing.
    async fn list(&self, path: &str, item: &str, action: &str) -> Result<Vec<Node>> {
        let mut items = Vec::new();
        let mut marker = String::new();
        for _ in 0..MAX_PAGES {
            let page = self
                .get(&format!("{path}?MaxItems=100{marker}"), action)
                .await?
                .node;
            let more = page.child("Items").into_iter().flat_map(|items| items.all(item));
            items.extend(more.cloned());
            match page.text_of("NextMarker") {
                Some(next) if !next.is_empty() => marker = format!("&Marker={}", encoded(next)),
                _ => break,
            }
        }
        Ok(items)
    }

    /// The distribution with our name: ours, or else another's.
    async fn find(&self) -> Result<Option<Found>> {
        let all = self.list("/distribution", "DistributionSummary", "find").await?;
        let named = all
            .iter()
            .filter(|one| one.text_of("Comment") == Some(self.declared.name.as_str()));
        let mut other = None;
        for one in named {
            let id = one.text_of("Id").unwrap_or_default().to_owned();
            let tags = match self.tags(&id).await {
                Ok(tags) => tags,
                // Deleted between these calls.
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error),
            };
            let is_ours = tags::owner(&tags, &self.spec.identity) == Owner::Us;
            let found = Found { id, tags };
            if is_ours {
                return Ok(Some(found));
            }
            other.get_or_insert(found);
        }
        Ok(other)
    }

    async fn tags(&self, id: &str) -> Result<TagMap> {
        let path = format!("/tagging?Resource={}", encoded(&self.arn_of_distribution(id)));
        let node = self.get(&path, "read the tags of").await?.node;
        let items = node.child("Items").into_iter().flat_map(|items| items.all("Tag"));
        let text = |tag: &Node, name: &str| tag.text_of(name).unwrap_or_default().to_owned();
        Ok(items.map(|tag| (text(tag, "Key"), text(tag, "Value"))).collect())
    }

    /// The id of the origin access control that this pipeline made.
    async fn access_control(&self) -> Result<Option<String>> {
        let all = self
            .list(
                "/origin-access-control",
                "OriginAccessControlSummary",
                "find the origin access control of",
            )
            .await?;
        let named = all
            .iter()
            .find(|one| one.text_of("Name") == Some(self.declared.name.as_str()));
        let mark = self.mark();
        let ours = named.filter(|one| one.text_of("Description") == Some(mark.as_str()));
        Ok(ours.and_then(|one| one.text_of("Id")).map(str::to_owned))
    }

    /// Tags and facts; `None` where there is no such site.
    pub(super) async fn observe_site(&self) -> Result<Option<(TagMap, Facts)>> {
        let (found, access_control) = tokio::try_join!(self.find(), self.access_control())?;
        let Some(Found { id, tags }) = found else {
            // A run ended after it made the origin access control, or before it deleted it.
            return Ok(access_control.map(|access_control| {
                let facts = Facts {
                    access_control: Some(access_control),
                    ..Facts::default()
                };
                (self.spec.tags.of_untagged(), facts)
            }));
        };
        let distribution = match self.get(&format!("/distribution/{id}"), "look at").await {
            Ok(document) => document.node,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let (permitted, files) = match common::is_known(&self.declared.bucket) {
            true => tokio::try_join!(self.is_permitted(&id), self.stored_files())?,
            false => Default::default(),
        };
        let config = distribution.child("DistributionConfig");
        let facts = Facts {
            domain: distribution.text_of("DomainName").unwrap_or_default().to_owned(),
            deployed: distribution.text_of("Status") == Some("Deployed"),
            settings: config.map(Settings::of_node).unwrap_or_default(),
            id,
            access_control,
            permitted,
            files,
        };
        Ok(Some((tags, facts)))
    }

    async fn policy(&self) -> Result<serde_json::Value> {
        let answer = self.response_unless(
            "read the policy of the bucket of",
            &["NoSuchBucketPolicy", "NoSuchBucket"],
            on!(self, get_bucket_policy).send().await,
        )?;
        Ok(common::policy(answer.and_then(|answer| answer.policy).as_deref()))
    }

    async fn is_permitted(&self, id: &str) -> Result<bool> {
        Ok(common::has_statement(&self.policy().await?, &self.statement(id)))
    }

    /// Puts our statement into the policy of the bucket, or removes it. Those of others stay.
    pub(super) async fn set_policy(&self, id: Option<&str>) -> Result<()> {
        let there = self.policy().await?;
        let statement = id.map(|id| self.statement(id));
        let policy = common::with_statement(&there, SID, statement.as_ref());
        if policy == there {
            return Ok(());
        }
        if policy.is_null() {
            let answer = on!(self, delete_bucket_policy).send().await;
            return self
                .response_if_exists("remove the policy of the bucket of", answer)
                .map(drop);
        }
        let call = on!(self, put_bucket_policy).policy(policy.to_string());
        self.response("set the policy of the bucket of", call.send().await)
            .map(drop)
    }

    /// Our origin access control, made if there is none.
    async fn make_access_control(&self) -> Result<String> {
        if let Some(id) = self.access_control().await? {
            return Ok(id);
        }
        let config = Node::of(
            "OriginAccessControlConfig",
            vec![
                Node::leaf("Name", &self.declared.name),
                Node::leaf("Description", self.mark()),
                Node::leaf("SigningProtocol", "sigv4"),
                Node::leaf("SigningBehavior", "always"),
                Node::leaf("OriginAccessControlOriginType", "s3"),
            ],
        );
        let request = Request {
            method: "POST",
            path: "/origin-access-control",
            body: Some(&config),
            ..Request::default()
        };
        match self.call(request, "make the origin access control of").await {
            Ok(made) => Ok(made.node.text_of("Id").unwrap_or_default().to_owned()),
            Err(error) if error.is("OriginAccessControlAlreadyExists") => {
                Err(error.hint("another pipeline uses this name; give the site another name"))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn create_site(&self, step: &Step<'_>) -> Result<()> {
        step.touched();
        let access_control = self.make_access_control().await?;
        step.go_on()?;
        let mut config = Node::of(
            "DistributionConfig",
            vec![
                // It differs for each attempt: a deleted distribution would otherwise keep it.
                Node::leaf("CallerReference", reference()),
                Node::leaf("Comment", &self.declared.name),
                Node::leaf("HttpVersion", "http2and3"),
                Node::leaf("IsIPV6Enabled", "true"),
            ],
        );
        self.wanted_settings(&access_control).write(&mut config);
        let mut tags = self.spec.tags.all();
        // Removed at the end: a run that finds the tag knows that the rest is still to be done.
        tags.insert(UNFINISHED.to_owned(), "setup".to_owned());
        let body = Node::of("DistributionConfigWithTags", vec![config, tags_node(&tags)]);
        let request = Request {
            method: "POST",
            path: "/distribution?WithTags",
            body: Some(&body),
            ..Request::default()
        };
        let made = self.call(request, "create").await?;
        let id = made.node.text_of("Id").unwrap_or_default().to_owned();
        step.go_on()?;
        step.doing("putting the files");
        self.set_policy(Some(&id)).await?;
        self.put_files(false, step).await?;
        self.wait_until_deployed(&id, step).await?;
        self.set_tags(&self.arn_of_distribution(&id), &tags, step).await
    }

    /// Changes the distribution with what `change` does to its DistributionConfig.
    async fn update_config(&self, id: &str, action: &str, change: impl Fn(&mut Node)) -> Result<()> {
        let path = format!("/distribution/{id}");
        for tried in 1.. {
            let there = self.get(&path, "look at").await?;
            let Some(mut config) = there.node.child("DistributionConfig").cloned() else {
                return Err(Error::failed(self.failure(action)).cause("its configuration is missing"));
            };
            change(&mut config);
            let config_path = format!("{path}/config");
            let request = Request {
                method: "PUT",
                path: &config_path,
                etag: Some(&there.etag),
                body: Some(&config),
            };
            match self.call(request, action).await {
                // Somebody changed it between these calls.
                Err(error) if error.is("PreconditionFailed") && tried < TRIES => {}
                answer => return answer.map(drop),
            }
        }
        Ok(())
    }

    /// `keeps_class` leaves the price class as it is.
    pub(super) async fn set_settings(&self, id: &str, keeps_class: bool, step: &Step<'_>) -> Result<()> {
        let access_control = self.make_access_control().await?;
        let wanted = self.wanted_settings(&access_control);
        self.update_config(id, "change", |config| {
            let mut wanted = wanted.clone();
            if keeps_class {
                wanted.price_class = Settings::of_node(config).price_class;
            }
            wanted.write(config);
        })
        .await?;
        self.wait_until_deployed(id, step).await
    }

    /// Waits until all edge locations have the distribution as it is now.
    async fn wait_until_deployed(&self, id: &str, step: &Step<'_>) -> Result<()> {
        let mut wait = Wait::new(DEPLOYED);
        loop {
            let there = self.get(&format!("/distribution/{id}"), "look at").await?;
            if there.node.text_of("Status") == Some("Deployed") {
                return Ok(());
            }
            if !wait.pause(step, "CloudFront deploys the change").await? {
                return Err(Error::failed(self.failure("deploy"))
                    .cause(format!(
                        "it is still in progress after {} minutes",
                        DEPLOYED.as_secs() / 60
                    ))
                    .hint("run the same command again: it goes on waiting"));
            }
        }
    }

    /// Makes the files as declared, and CloudFront forget the earlier ones. The tag of an unfinished resource is there
    /// meanwhile: a run that ends between the two would otherwise leave old files in the caches. On an unfinished resource, it
    /// is there already, and is removed later.
    pub(super) async fn replace_files(&self, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        let id = &existing.facts.id;
        let has_tag = existing.unfinished();
        let keeps_config = !self.enforced("config", existing);
        let arn = self.arn_of_distribution(id);
        if !has_tag {
            let mark = TagMap::from([(UNFINISHED.to_owned(), "files".to_owned())]);
            self.put_tags(&arn, &mark).await?;
        }
        self.put_files(keeps_config, step).await?;
        self.invalidate(id).await?;
        self.wait_until_deployed(id, step).await?;
        match has_tag {
            true => Ok(()),
            false => self.remove_tags(&arn, &[UNFINISHED.to_owned()]).await,
        }
    }

    /// Removes all files from the caches. One path with `*` counts once, whatever the number of files.
    async fn invalidate(&self, id: &str) -> Result<()> {
        let paths = list("Paths", vec![Node::leaf("Path", "/*")]);
        let batch = Node::of(
            "InvalidationBatch",
            vec![paths, Node::leaf("CallerReference", reference())],
        );
        let path = format!("/distribution/{id}/invalidation");
        let request = Request {
            method: "POST",
            path: &path,
            body: Some(&batch),
            ..Request::default()
        };
        self.call(request, "invalidate the files of").await.map(drop)
    }

    pub(super) async fn put_tags(&self, arn: &str, tags: &TagMap) -> Result<()> {
        let (path, body) = (
            format!("/tagging?Operation=Tag&Resource={}", encoded(arn)),
            tags_node(tags),
        );
        let request = Request {
            method: "POST",
            path: &path,
            body: Some(&body),
            ..Request::default()
        };
        self.call(request, "tag").await.map(drop)
    }

    pub(super) async fn remove_tags(&self, arn: &str, keys: &[String]) -> Result<()> {
        let keys = keys.iter().map(|key| Node::leaf("Key", key)).collect();
        let body = Node::of("TagKeys", vec![Node::of("Items", keys)]);
        let path = format!("/tagging?Operation=Untag&Resource={}", encoded(arn));
        let request = Request {
            method: "POST",
            path: &path,
            body: Some(&body),
            ..Request::default()
        };
        self.call(request, "untag").await.map(drop)
    }

    /// Deletes what the site has made. The origin access control goes last: it shows a later run that something is left.
    pub(super) async fn delete_site(&self, facts: &Facts, step: &Step<'_>) -> Result<()> {
        if !facts.id.is_empty() {
            if common::is_known(&self.declared.bucket) {
                step.doing("removing the files");
                let ours = facts.files.iter().filter(|(_, file)| file.is_ours());
                let keys: Vec<String> = ours.map(|(key, _)| key.clone()).collect();
                self.delete_files(&keys, step).await?;
                self.set_policy(None).await?;
            }
            self.delete_distribution(&facts.id, step).await?;
        }
        step.go_on()?;
        step.doing("deleting the origin access control");
        self.delete_access_control(step).await
    }

    /// Source: "Delete a distribution", CloudFront developer guide: it is disabled first.
    async fn delete_distribution(&self, id: &str, step: &Step<'_>) -> Result<()> {
        let path = format!("/distribution/{id}");
        let gone_already = |outcome: Result<()>| match outcome {
            Err(error) if error.is_not_found() => Ok(()),
            outcome => outcome,
        };
        let deleting = async {
            let there = self.get(&path, "look at").await?;
            let config = there.node.child("DistributionConfig");
            if config.and_then(|config| config.text_of("Enabled")) == Some("true") {
                step.doing("disabling");
                let disable = |config: &mut Node| config.set(Node::leaf("Enabled", "false"));
                self.update_config(id, "disable", disable).await?;
            }
            self.wait_until_deployed(id, step).await?;
            step.go_on()?;
            step.doing("deleting");
            let etag = self.get(&path, "look at").await?.etag;
            let request = Request {
                method: "DELETE",
                path: &path,
                etag: Some(&etag),
                body: None,
            };
            self.call(request, "delete").await.map(drop)
        };
        gone_already(deleting.await)
    }

    async fn delete_access_control(&self, step: &Step<'_>) -> Result<()> {
        let Some(id) = self.access_control().await? else {
            return Ok(());
        };
        let path = format!("/origin-access-control/{id}");
        let mut wait = Wait::new(LAG);
        loop {
            let action = "delete the origin access control of";
            let etag = match self.get(&path, action).await {
                Ok(there) => there.etag,
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) => return Err(error),
            };
            let request = Request {
                method: "DELETE",
                path: &path,
                etag: Some(&etag),
                body: None,
            };
            match self.call(request, action).await {
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error)
                    if error.is("OriginAccessControlInUse")
                        && wait
                            .pause(step, "CloudFront still sees a distribution that uses it")
                            .await? => {}
                answer => return answer.map(drop),
            }
        }
    }

    /// Gets `/` as a browser does, and compares it with the declared file. A new distribution is found by its name after a
    /// while only.
    pub(super) async fn get_index(&self, facts: &Facts) -> Result<String> {
        let expected = self.content(self.index())?;
        let deadline = Instant::now() + ANSWERS;
        loop {
            let page = self
                .context
                .get_page(&facts.id, &facts.domain, "/", MOST_BYTES as usize)
                .await;
            let problem = match page {
                Ok(page) if page.status != 200 => {
                    self.wrong_answer(facts, &format!("the status {}", page.status))
                }
                Ok(page) if expected.as_ref().is_some_and(|expected| *expected != page.body) => {
                    self.wrong_answer(facts, "another version of the file")
                }
                Ok(_) => return Ok(format!("{} answers {}", super::url(&facts.domain), self.index())),
                Err(error) => error,
            };
            if Instant::now() >= deadline || self.context.is_local() {
                return Err(problem);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn wrong_answer(&self, facts: &Facts, what: &str) -> Error {
        Error::failed(format!("{} answers {what}", super::url(&facts.domain)))
    }
}

/// A reference that no earlier request had.
fn reference() -> String {
    format!("streamctl-{:032x}", rand::random::<u128>())
}
