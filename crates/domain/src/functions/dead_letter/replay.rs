//! Processes failed records again: the function that failed is invoked with them ([`super::reinvoke`]), or they are put
//! into a stream that the user names. A message is deleted only after all its records are processed, or acknowledged by the
//! stream.
//!
//! The function gets the records as they were, with their sequence numbers and arrival times. Records that are put into a
//! stream are new records, which no function can recognise, and which all consumers of the stream receive.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::records::{PageSink, fetch};
use super::reinvoke::{Functions, Invoker};
use super::source::{Inbox, own_stream};
use super::{Content, DeadLetter, MessageSource, ReceivedMessage, read};
use crate::consume::{KinesisShards, TailRecord};
use crate::context::Context;
use crate::functions::mapping::resource_name;
use crate::produce::{Input, KinesisTransport, PutEnd, PutEvent, PutOptions, Unsent, put};
use crate::record::Record;
use ground::error::{Error, Result};
use ground::stop::Stop;

/// Visibility timeout of received messages, in seconds. It is renewed while they are processed.
const HIDDEN_SECONDS: i32 = 120;
const RENEW_AFTER: Duration = Duration::from_secs(45);
/// Stop after this many batches that contain only new messages. A queue returns messages in no order.
const NEW_BATCHES: u32 = 3;
/// Pages of records that are buffered between reading and sending.
const PAGES: usize = 2;

/// Options of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The stream to put the records into; `None` to invoke the function that failed.
    pub to: Option<String>,
    /// Do not delete messages.
    pub keep: bool,
    /// Send and delete nothing.
    pub dry_run: bool,
    /// Also delete messages whose records have partly expired, once the others are acknowledged.
    pub discard_lost: bool,
    /// Milliseconds since the Unix epoch. Newer messages are ignored: they may be about records that this run has
    /// replayed and that failed again. Replaying those could loop forever.
    pub before_ms: i64,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageResult {
    /// Dry run: number of records that exist.
    Found(u64),
    /// All its records are processed, or acknowledged by the stream.
    Replayed(u64),
    /// Some of its records have expired. The others are processed or acknowledged.
    Lost { replayed: u64, lost: u64 },
    /// It cannot be parsed.
    Unreadable(String),
    /// Not every record was processed or acknowledged.
    Failed(String),
    /// The run was stopped before this message.
    Skipped,
}

/// Result of one message.
#[derive(Debug)]
pub struct Event<'a> {
    /// The message.
    pub held: &'a ReceivedMessage,
    /// The parsed message, if it could be parsed.
    pub letter: Option<&'a DeadLetter>,
    /// What became of it.
    pub result: &'a MessageResult,
    /// Whether it was deleted.
    pub deleted: bool,
}

/// Where events go.
pub type Events<'a> = &'a mut (dyn FnMut(Event<'_>) + Send);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub messages: u64,
    pub deleted: u64,
    /// Records processed or acknowledged, or that exist in a dry run.
    pub records: u64,
    /// Records that have expired.
    pub lost: u64,
    /// Messages that could not be parsed, replayed completely, or deleted.
    pub failed: u64,
    /// Messages that arrived during the run, and are kept.
    pub newer: u64,
}

/// A replay of one source.
pub struct Replay<'a> {
    /// The target.
    pub context: &'a Context,
    /// Where the messages are.
    pub source: &'a MessageSource,
    /// How.
    pub options: &'a Options,
}

/// A message on its way.
struct Work {
    held: ReceivedMessage,
    letter: Option<DeadLetter>,
    result: MessageResult,
}

/// What was sent for one message.
#[derive(Default)]
struct Sent {
    /// Numbers of its records.
    numbers: std::ops::Range<u64>,
    lost: u64,
    error: Option<Error>,
}

impl Replay<'_> {
    /// Replays messages until none from before the run is left, or `stop` is set. Records in flight are still awaited.
    ///
    /// # Errors
    /// If the messages cannot be read.
    pub async fn run(&self, stop: &Stop, events: Events<'_>) -> Result<Totals> {
        let mut inbox = Inbox::open(self.context, self.source);
        let mut totals = Totals::default();
        let mut kept: Vec<ReceivedMessage> = Vec::new();
        let mut newer = BTreeSet::new();
        let mut in_vain = 0;
        let mut functions = Functions::of(self.context);
        let outcome = loop {
            if stop.is_set() || in_vain == NEW_BATCHES {
                break Ok(());
            }
            let taken = match inbox.next(HIDDEN_SECONDS).await {
                Ok(taken) if taken.is_empty() => break Ok(()),
                Ok(taken) => taken,
                Err(error) => break Err(error),
            };
            let is_old =
                |held: &ReceivedMessage| held.sent_ms.is_none_or(|sent| sent < self.options.before_ms);
            let (taken, new): (Vec<ReceivedMessage>, Vec<ReceivedMessage>) =
                taken.into_iter().partition(is_old);
            newer.extend(new.iter().map(|held| held.id.clone()));
            kept.extend(new);
            in_vain = if taken.is_empty() { in_vain + 1 } else { 0 };
            if taken.is_empty() {
                continue;
            }
            let held = taken.clone();
            let works = tokio::select! {
                works = self.round(taken, &mut functions, stop) => works,
                () = self.keep_hidden(&held) => Vec::new(),
            };
            kept.extend(self.settle(works, &mut totals, events).await);
        };
        // Make the kept messages visible again.
        self.source.hide(self.context, &kept, 0).await;
        totals.newer = newer.len() as u64;
        outcome.map(|()| totals)
    }

    /// Reads every message without changing it.
    ///
    /// # Errors
    /// If the messages cannot be read, or `each` fails.
    pub async fn list(
        context: &Context,
        source: &MessageSource,
        limit: usize,
        mut each: impl FnMut(&ReceivedMessage, Result<DeadLetter, String>) -> Result<()>,
    ) -> Result<()> {
        let mut inbox = Inbox::open(context, source);
        let mut taken: Vec<ReceivedMessage> = Vec::new();
        let mut outcome = Ok(());
        while outcome.is_ok() && taken.len() < limit {
            match inbox.next(HIDDEN_SECONDS).await {
                Ok(more) if more.is_empty() => break,
                Ok(more) => {
                    let room = limit - taken.len();
                    outcome = more
                        .iter()
                        .take(room)
                        .try_for_each(|held| each(held, read(&held.body)));
                    taken.extend(more);
                }
                Err(error) => outcome = Err(error),
            }
        }
        source.hide(context, &taken, 0).await;
        outcome
    }

    /// Reads some messages, as many as one call returns, without changing them.
    ///
    /// # Errors
    /// If the messages cannot be read.
    pub async fn peek(
        context: &Context,
        source: &MessageSource,
        mut each: impl FnMut(Result<DeadLetter, String>) + Send,
    ) -> Result<()> {
        let taken = Inbox::open(context, source).next(HIDDEN_SECONDS).await?;
        taken.iter().for_each(|held| each(read(&held.body)));
        source.hide(context, &taken, 0).await;
        Ok(())
    }

    async fn keep_hidden(&self, held: &[ReceivedMessage]) {
        loop {
            sleep(RENEW_AFTER).await;
            self.source.hide(self.context, held, HIDDEN_SECONDS).await;
        }
    }

    /// Deletes the processed messages and reports each one. Returns those that are kept.
    async fn settle(
        &self,
        works: Vec<Work>,
        totals: &mut Totals,
        events: Events<'_>,
    ) -> Vec<ReceivedMessage> {
        let done = |work: &Work| match work.result {
            MessageResult::Replayed(_) => !self.options.keep,
            MessageResult::Lost { .. } => self.options.discard_lost && !self.options.keep,
            _ => false,
        };
        let delete: Vec<ReceivedMessage> = works
            .iter()
            .filter(|work| done(work))
            .map(|work| work.held.clone())
            .collect();
        let refused: BTreeMap<String, String> = if self.options.dry_run {
            BTreeMap::new()
        } else {
            self.source
                .delete(self.context, &delete)
                .await
                .into_iter()
                .collect()
        };
        let mut kept = Vec::new();
        for mut work in works {
            let mut deleted = done(&work) && !self.options.dry_run;
            totals.messages += 1;
            match &work.result {
                MessageResult::Found(records) | MessageResult::Replayed(records) => totals.records += records,
                MessageResult::Lost { replayed, lost } => {
                    totals.records += replayed;
                    totals.lost += lost;
                }
                MessageResult::Unreadable(_) | MessageResult::Failed(_) => totals.failed += 1,
                MessageResult::Skipped => {}
            }
            if let Some(reason) = refused.get(&work.held.id) {
                deleted = false;
                totals.failed += 1;
                work.result = MessageResult::Failed(format!(
                    "its records are replayed, but it is still there: {reason}"
                ));
            }
            totals.deleted += u64::from(deleted);
            events(Event {
                held: &work.held,
                letter: work.letter.as_ref(),
                result: &work.result,
                deleted,
            });
            if !deleted {
                kept.push(work.held);
            }
        }
        kept
    }

    async fn round(
        &self,
        taken: Vec<ReceivedMessage>,
        functions: &mut Functions<'_>,
        stop: &Stop,
    ) -> Vec<Work> {
        let mut works: Vec<Work> = taken
            .into_iter()
            .map(|held| match read(&held.body) {
                Ok(letter) => Work {
                    held,
                    letter: Some(letter),
                    result: MessageResult::Skipped,
                },
                Err(reason) => Work {
                    held,
                    letter: None,
                    result: MessageResult::Unreadable(reason),
                },
            })
            .collect();
        let (letters, results): (Vec<&DeadLetter>, Vec<&mut MessageResult>) = works
            .iter_mut()
            .filter_map(|work| Some((work.letter.as_ref()?, &mut work.result)))
            .unzip();
        let outcomes = match (&self.options.to, self.options.dry_run) {
            (_, true) => self.look(&letters).await,
            (Some(stream), false) => self.send(stream, &letters, stop).await,
            (None, false) => self.invoke_each(&letters, functions, stop).await,
        };
        for (result, outcome) in results.into_iter().zip(outcomes) {
            *result = outcome;
        }
        works
    }

    /// Invokes the functions of `letters` with their records.
    async fn invoke_each(
        &self,
        letters: &[&DeadLetter],
        functions: &mut Functions<'_>,
        stop: &Stop,
    ) -> Vec<MessageResult> {
        let mut outcomes = Vec::with_capacity(letters.len());
        for letter in letters {
            outcomes.push(match stop.is_set() {
                true => MessageResult::Skipped,
                false => self
                    .invoke(letter, functions)
                    .await
                    .unwrap_or_else(|error| MessageResult::Failed(in_words(&error))),
            });
        }
        outcomes
    }

    async fn invoke(&self, letter: &DeadLetter, functions: &mut Functions<'_>) -> Result<MessageResult> {
        let function = functions.find(letter).await?;
        let mut invoker = Invoker::new(self.context, &function, letter);
        let lost = match &letter.content {
            Content::Data(records) => {
                invoker.add(records.iter().cloned()).await;
                0
            }
            Content::Range(range) => {
                self.check_stream(letter).await?;
                let shards = self.shards(letter);
                fetch(&shards, &letter.shard_id, range, &mut invoker).await?.lost
            }
        };
        let records = invoker.end().await?;
        Ok(match lost {
            0 => MessageResult::Replayed(records),
            lost => MessageResult::Lost {
                replayed: records,
                lost,
            },
        })
    }

    /// Refuses a message whose records are in a stream of another account or region.
    async fn check_stream(&self, letter: &DeadLetter) -> Result<()> {
        let account = self.context.account().await?;
        match own_stream(self.context.region(), account, &letter.stream_arn) {
            Some(_) => Ok(()),
            None => Err(Error::failed(match letter.stream_arn.as_str() {
                "" => "it does not say which stream its records are in".to_owned(),
                arn => format!("its stream {arn} is in another account or region"),
            })),
        }
    }

    /// Dry run: counts the records that exist.
    async fn look(&self, letters: &[&DeadLetter]) -> Vec<MessageResult> {
        let mut outcomes = Vec::with_capacity(letters.len());
        for letter in letters {
            let mut discard = Discard;
            outcomes.push(match &letter.content {
                Content::Data(records) => MessageResult::Found(records.len() as u64),
                Content::Range(range) => {
                    let fetched = match self.check_stream(letter).await {
                        Ok(()) => fetch(&self.shards(letter), &letter.shard_id, range, &mut discard).await,
                        Err(error) => Err(error),
                    };
                    match fetched {
                        Ok(fetched) if fetched.lost > 0 => MessageResult::Lost {
                            replayed: fetched.found,
                            lost: fetched.lost,
                        },
                        Ok(fetched) => MessageResult::Found(fetched.found),
                        Err(error) => MessageResult::Failed(in_words(&error)),
                    }
                }
            });
        }
        outcomes
    }

    fn shards(&self, letter: &DeadLetter) -> KinesisShards {
        KinesisShards::new(self.context, resource_name(&letter.stream_arn))
    }

    /// Sends the records of `letters` to `stream`.
    async fn send(&self, stream: &str, letters: &[&DeadLetter], stop: &Stop) -> Vec<MessageResult> {
        let (sender, input) = mpsc::channel(PAGES);
        let transport = Arc::new(KinesisTransport::new(self.context, stream));
        let options = PutOptions::default();
        let mut unsent: BTreeMap<u64, String> = BTreeMap::new();
        let mut note = |event: PutEvent<'_>| {
            if let PutEvent::Unsent { record, reason } = event {
                let reason = match reason {
                    Unsent::Failed(reason) => reason.clone(),
                    Unsent::Stopped => "stopped before it was acknowledged".to_owned(),
                };
                unsent.insert(record.number, reason);
            }
        };
        let sending = put(input, transport, &options, Box::pin(stop.wait()), &mut note);
        let (outcome, sent) = tokio::join!(sending, self.feed(letters, sender));
        let aborted = match outcome.end {
            PutEnd::Aborted(error) => Some(in_words(&error)),
            _ => None,
        };
        sent.into_iter()
            .map(|sent| {
                let missing = unsent
                    .range(sent.numbers.clone())
                    .next()
                    .map(|(_, reason)| reason.clone());
                let count = sent.numbers.end - sent.numbers.start;
                match (sent.error, missing) {
                    (Some(error), _) => MessageResult::Failed(in_words(&error)),
                    (None, Some(reason)) => MessageResult::Failed(aborted.clone().unwrap_or(reason)),
                    (None, None) if sent.lost > 0 => MessageResult::Lost {
                        replayed: count,
                        lost: sent.lost,
                    },
                    (None, None) => MessageResult::Replayed(count),
                }
            })
            .collect()
    }

    async fn feed(&self, letters: &[&DeadLetter], sender: mpsc::Sender<Input>) -> Vec<Sent> {
        let mut feeder = Feeder {
            sender,
            number: 0,
            refused: false,
        };
        let mut all = Vec::with_capacity(letters.len());
        for letter in letters {
            let start = feeder.number + 1;
            let mut sent = Sent::default();
            match &letter.content {
                Content::Data(records) => {
                    let records = records
                        .iter()
                        .map(|record| (record.partition_key.clone(), record.data.clone()));
                    feeder.send(records.collect()).await;
                }
                Content::Range(range) => {
                    let fetched = match self.check_stream(letter).await {
                        Ok(()) => fetch(&self.shards(letter), &letter.shard_id, range, &mut feeder).await,
                        Err(error) => Err(error),
                    };
                    match fetched {
                        Ok(fetched) => sent.lost = fetched.lost,
                        Err(error) => sent.error = Some(error),
                    }
                }
            }
            if feeder.refused {
                sent.error
                    .get_or_insert_with(|| Error::failed("the stream accepts no more records"));
            }
            sent.numbers = start..feeder.number + 1;
            all.push(sent);
        }
        all
    }
}

fn in_words(error: &Error) -> String {
    error.chain().join(": ")
}

/// Passes records to the put engine, and numbers them.
struct Feeder {
    sender: mpsc::Sender<Input>,
    /// The last number used.
    number: u64,
    /// The engine accepts no more records.
    refused: bool,
}

impl Feeder {
    async fn send(&mut self, records: Vec<(String, bytes::Bytes)>) -> bool {
        let records = records
            .into_iter()
            .map(|(partition_key, data)| {
                self.number += 1;
                Record {
                    data,
                    partition_key: partition_key.into(),
                    explicit_hash_key: None,
                    has_random_key: false,
                    number: self.number,
                    line: self.number,
                }
            })
            .collect();
        self.refused |= self.sender.send(Input::Records(records)).await.is_err();
        !self.refused
    }
}

impl PageSink for Feeder {
    async fn take(&mut self, records: Vec<TailRecord>) -> bool {
        self.send(
            records
                .into_iter()
                .map(|record| (record.partition_key, record.data))
                .collect(),
        )
        .await
    }
}

/// Discards records.
struct Discard;

impl PageSink for Discard {
    async fn take(&mut self, _records: Vec<TailRecord>) -> bool {
        true
    }
}
