//! The number of shards of on-demand streams, which follows their write traffic.
//!
//! AWS documents: a new stream has 4 MB/s of write throughput; a stream accommodates up to double the peak write
//! throughput of the last 30 days; a shard whose traffic exceeds 500 KB/s is split within 15 minutes, its hash keys evenly
//! ("Handle read and write throughput exceptions" in "Choose the right mode to stream in", developer guide,
//! https://docs.aws.amazon.com/streams/latest/dev/how-do-i-size-a-stream.html#hotshards). UpdateStreamWarmThroughput scales to a throughput at once, and
//! releases excess capacity (API reference).
//!
//! Here a shard that exceeds 500 KB/s over a minute is split with the next housekeeping. AWS does not document a threshold
//! for records: half of the limit of a shard counts in the same way. When the peaks of 30 days no longer need the shards,
//! the quietest neighbours are merged.

use std::collections::BTreeMap;

use crate::kinesis::engine::Engine;
use crate::kinesis::stream::lineage::{self, ShardMeta};
use crate::kinesis::stream::meta::{DAY_MS, Mode, Peak, Status, StreamMeta};
use crate::kinesis::stream::traffic::Rate;

/// Shards of a new on-demand stream; merges stop there.
pub const LEAST_SHARDS: u32 = 4;
/// A shard with more traffic is split.
const SPLIT_BYTES: f64 = 500.0 * 1024.0;
const SPLIT_RECORDS: f64 = 500.0;
/// Two neighbours with less traffic together, as a part of the above, may be merged.
const QUIET: f64 = 0.5;
/// How long a peak counts.
const PEAK_MS: i64 = 30 * DAY_MS;
/// The shortest sample.
const SAMPLE_MS: i64 = 20_000;

/// The most shards of an on-demand stream. Source: "Choose the right mode to stream in", developer guide: 10 GB/s in
/// three regions, 200 MB/s elsewhere.
fn most_shards(region: &str) -> u32 {
    match region {
        "us-east-1" | "us-west-2" | "eu-west-1" => 10_000,
        _ => 200,
    }
}

/// Shards that have a warm throughput, which is in MiB/s.
pub fn shards_of(warm_throughput: Option<i64>) -> u32 {
    u32::try_from(warm_throughput.unwrap_or_default()).unwrap_or_default()
}

/// How many shards a traffic needs: double its throughput.
fn load(rate: Rate) -> f64 {
    (rate.bytes / SPLIT_BYTES).max(rate.records / SPLIT_RECORDS)
}

/// What a stream's traffic changes.
#[derive(Debug, Default, PartialEq)]
struct Plan {
    /// Shards to split in the middle.
    splits: Vec<u32>,
    /// Neighbours to merge.
    merges: Vec<(u32, u32)>,
    /// Shards that today's peak needs, if that is news.
    peak: Option<u32>,
}

/// `rates` is the traffic by shard.
fn plan(meta: &StreamMeta, rates: &BTreeMap<u32, Rate>, now_ms: i64) -> Plan {
    let open = lineage::open_in_order(&meta.shards);
    let count = open.len() as u32;
    let of = |shard: &ShardMeta| load(rates.get(&shard.index).copied().unwrap_or_default());
    let room = most_shards(&meta.region).saturating_sub(count) as usize;
    let mut hot: Vec<&ShardMeta> = open
        .iter()
        .copied()
        .filter(|shard| of(shard) > 1.0 && shard.start < shard.end)
        .collect();
    hot.sort_by(|a, b| of(b).total_cmp(&of(a)));
    let splits: Vec<u32> = hot.iter().take(room).map(|shard| shard.index).collect();
    // A split counts as a peak: its capacity stays for 30 days, however uneven the traffic.
    let after = if splits.is_empty() {
        0
    } else {
        count + splits.len() as u32
    };
    let peak = needed(rates).max(after);
    let before = kept(meta, now_ms);
    let is_news = peak > LEAST_SHARDS
        && meta
            .peaks
            .iter()
            .all(|p| p.day_ms != day_of(now_ms) || p.shards < peak);
    let least = before
        .max(peak)
        .max(LEAST_SHARDS)
        .max(shards_of(meta.warm_throughput));
    let merges = if splits.is_empty() {
        quiet_pairs(&open, of, count.saturating_sub(least) as usize)
    } else {
        Vec::new()
    };
    Plan {
        splits,
        merges,
        peak: is_news.then_some(peak),
    }
}

/// How many shards the whole traffic of a stream needs.
fn needed(rates: &BTreeMap<u32, Rate>) -> u32 {
    let total = rates.values().fold(Rate::default(), |sum, rate| Rate {
        bytes: sum.bytes + rate.bytes,
        records: sum.records + rate.records,
    });
    load(total).ceil().clamp(0.0, f64::from(u32::MAX)) as u32
}

/// How many shards the peaks of the last 30 days need.
fn kept(meta: &StreamMeta, now_ms: i64) -> u32 {
    let counting = meta.peaks.iter().filter(|peak| counts(peak, now_ms));
    counting.map(|peak| peak.shards).max().unwrap_or_default()
}

/// To the end of its day, for 30 days.
const fn counts(peak: &Peak, now_ms: i64) -> bool {
    now_ms < peak.day_ms.saturating_add(DAY_MS + PEAK_MS)
}

const fn day_of(now_ms: i64) -> i64 {
    now_ms.div_euclid(DAY_MS) * DAY_MS
}

fn note_peak(meta: &mut StreamMeta, shards: u32, now_ms: i64) {
    meta.peaks.retain(|peak| counts(peak, now_ms));
    let day_ms = day_of(now_ms);
    match meta.peaks.iter_mut().find(|peak| peak.day_ms == day_ms) {
        Some(peak) => peak.shards = peak.shards.max(shards),
        None => meta.peaks.push(Peak { day_ms, shards }),
    }
}

/// Neighbours with the least traffic, at most `most` pairs, each shard in one pair only.
fn quiet_pairs(open: &[&ShardMeta], load: impl Fn(&ShardMeta) -> f64, most: usize) -> Vec<(u32, u32)> {
    let mut pairs: Vec<(f64, usize)> = open
        .windows(2)
        .enumerate()
        .map(|(at, pair)| (load(pair[0]) + load(pair[1]), at))
        .filter(|(load, _)| *load <= QUIET)
        .collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut taken = vec![false; open.len()];
    let mut chosen = Vec::new();
    for (_, at) in pairs {
        if chosen.len() == most {
            break;
        }
        if !taken[at] && !taken[at + 1] {
            (taken[at], taken[at + 1]) = (true, true);
            chosen.push((open[at].index, open[at + 1].index));
        }
    }
    chosen
}

/// Makes the changes of a plan. Returns whether the shards changed.
fn apply(meta: &mut StreamMeta, plan: &Plan, now_ms: i64) -> bool {
    if let Some(shards) = plan.peak {
        note_peak(meta, shards, now_ms);
    }
    let mut changed = false;
    for &index in &plan.splits {
        let middle = meta
            .shards
            .get(index as usize)
            .map(|shard| shard.start + (shard.end - shard.start) / 2 + 1);
        changed |= middle.is_some_and(|at| lineage::split(&mut meta.shards, index, at, now_ms));
    }
    for &(left, right) in &plan.merges {
        changed |= lineage::merge(&mut meta.shards, left, right, now_ms);
    }
    changed
}

/// Begins to scale a stream that was provisioned: it keeps its shards for 30 days, or has more if its warm throughput is
/// above theirs.
pub fn begin(meta: &mut StreamMeta, now_ms: i64) {
    let warm = shards_of(meta.warm_throughput);
    if warm > meta.open_shards().count() as u32 {
        lineage::rescale(&mut meta.shards, warm, now_ms);
    }
    meta.peaks.clear();
    note_peak(meta, meta.open_shards().count() as u32, now_ms);
}

/// Scales a stream to its warm throughput, or to what its traffic needs if that is more.
pub fn warm(meta: &mut StreamMeta, needed: u32, now_ms: i64) {
    let shards = shards_of(meta.warm_throughput).max(needed).max(LEAST_SHARDS);
    meta.peaks.clear();
    note_peak(meta, shards, now_ms);
    if shards != meta.open_shards().count() as u32 {
        lineage::rescale(&mut meta.shards, shards, now_ms);
    }
}

impl Engine {
    /// Scales each on-demand stream by its traffic since the last call.
    pub(super) fn scale_on_demand(&self, now_ms: i64) {
        for stream in self.catalog.all() {
            let Some(elapsed_ms) = stream.traffic.sample(now_ms, SAMPLE_MS) else {
                continue;
            };
            let view = stream.view(now_ms);
            let rates: BTreeMap<u32, Rate> = view
                .shards
                .iter()
                .map(|shard| (shard.index, shard.traffic.take(elapsed_ms)))
                .collect();
            // Traffic before the first sample is of unknown age.
            if elapsed_ms == 0 || view.meta.mode != Mode::OnDemand || view.meta.status != Status::Active {
                continue;
            }
            stream.traffic.set_needed(needed(&rates));
            let plan = plan(&view.meta, &rates, now_ms);
            if plan == Plan::default() {
                continue;
            }
            let due_ms = self.due(now_ms);
            let scaled = stream.change_active(now_ms, |meta| {
                meta.require_on_demand()?;
                if apply(meta, &plan, now_ms) {
                    meta.update_until(due_ms);
                }
                Ok(meta.open_shards().count())
            });
            match scaled {
                Ok(shards) => tracing::info!(
                    stream = view.meta.name,
                    shards,
                    "an on-demand stream follows its traffic"
                ),
                Err(error) => {
                    tracing::warn!(stream = view.meta.name, %error, "an on-demand stream could not be scaled")
                }
            }
        }
    }
}
