//! PutRecord and PutRecordBatch.

use serde_json::{Value, json};

use super::Firehose;
use super::error::{Error, Result};
use super::hose::Hose;
use super::input::{self, required};
use super::model::{Meta, Status};
use super::report::metric;
use super::source::Log;
use crate::kinesis::stream::locked;
use crate::types::Caller;

/// Bytes of a record, and of all records of a request. Source: "Amazon Data Firehose quota", developer guide.
const RECORD_BYTES: usize = 1_024_000;
const REQUEST_BYTES: usize = 4 << 20;
const REQUEST_RECORDS: usize = 500;
/// What a throttled record is refused with.
const SLOW_DOWN: &str = "Slow down.";

impl Firehose {
    pub(super) fn put_record(&self, caller: &Caller, input: input::PutRecord) -> Result<Value> {
        let name = input::name(input.delivery_stream_name)?;
        let record = required(input.record, "record")?;
        let data = decoded(record, "record.data")?;
        let taken = self.put(caller, &name, vec![data], "PutRecord")?;
        let Some(Some(id)) = taken.ids.into_iter().next() else {
            return Err(Error::unavailable(SLOW_DOWN));
        };
        Ok(json!({"RecordId": id, "Encrypted": taken.encrypted}))
    }

    pub(super) fn put_record_batch(&self, caller: &Caller, input: input::PutRecordBatch) -> Result<Value> {
        let name = input::name(input.delivery_stream_name)?;
        let records = required(input.records, "records")?;
        if records.is_empty() {
            return Err(Error::constraint(
                "'[]'",
                "records",
                "have length greater than or equal to 1",
            ));
        }
        if records.len() > REQUEST_RECORDS {
            return Err(Error::constraint(
                &format!("'{} records'", records.len()),
                "records",
                &format!("have length less than or equal to {REQUEST_RECORDS}"),
            ));
        }
        let records = records.into_iter().enumerate();
        let records: Vec<Vec<u8>> = records
            .map(|(index, record)| decoded(record, &format!("records.{}.member.data", index + 1)))
            .collect::<Result<_>>()?;
        if records.iter().map(Vec::len).sum::<usize>() > REQUEST_BYTES {
            return Err(Error::invalid("Records size exceeds 4 MB limit"));
        }
        let taken = self.put(caller, &name, records, "PutRecordBatch")?;
        let failed = taken.ids.iter().filter(|id| id.is_none()).count();
        let responses: Vec<Value> = taken
            .ids
            .into_iter()
            .map(|id| match id {
                Some(id) => json!({"RecordId": id}),
                None => json!({"ErrorCode": "ServiceUnavailableException", "ErrorMessage": SLOW_DOWN}),
            })
            .collect();
        Ok(json!({
            "FailedPutCount": failed,
            "Encrypted": taken.encrypted,
            "RequestResponses": responses,
        }))
    }

    /// Stores records. They survive the end of the process when it returns.
    fn put(&self, caller: &Caller, name: &str, records: Vec<Vec<u8>>, operation: &str) -> Result<Taken> {
        let now_ms = self.now_ms();
        let hose = self.store.find(caller, name, now_ms)?;
        let meta = hose.meta();
        let Some(log) = &hose.log else {
            return Err(Error::invalid(format!(
                "This operation is not permitted on {} delivery stream type.",
                meta.kind()
            )));
        };
        if meta.status(now_ms) != Status::Active {
            return Err(Error::not_found(name, &caller.account));
        }
        let admitted = self.admitted(&hose, &records, now_ms)?;
        let (mut ids, mut taken) = (Vec::new(), Vec::new());
        let bytes = records.iter().map(Vec::len).sum::<usize>();
        for (record, is_admitted) in records.into_iter().zip(admitted) {
            ids.push(is_admitted.then_some(String::new()));
            taken.extend(is_admitted.then_some(record));
        }
        let mut numbers = append(&meta, log, &taken, now_ms)?.into_iter();
        for id in ids.iter_mut().flatten() {
            *id = numbers.next().unwrap_or_default();
        }
        self.measure(
            &meta,
            operation,
            (taken.len(), taken.iter().map(Vec::len).sum()),
            bytes,
        );
        Ok(Taken {
            ids,
            encrypted: meta.encrypts(now_ms),
        })
    }

    /// Which records the limits admit, where limits are enforced.
    fn admitted(&self, hose: &Hose, records: &[Vec<u8>], now_ms: i64) -> Result<Vec<bool>> {
        if !self.options.enforce_limits {
            return Ok(vec![true; records.len()]);
        }
        let mut limits = locked(&hose.limits);
        if !limits.requests.try_take(1.0, now_ms) {
            return Err(Error::unavailable(SLOW_DOWN));
        }
        let admitted = records.iter().map(|record| {
            let bytes = record.len() as f64;
            let fits = limits.bytes.has(bytes, now_ms) && limits.records.try_take(1.0, now_ms);
            if fits {
                limits.bytes.take(bytes);
            }
            fits
        });
        Ok(admitted.collect())
    }

    fn measure(&self, meta: &Meta, operation: &str, (records, bytes): (usize, usize), sent: usize) {
        let metric =
            |name: &str, unit: &str, value: usize| metric(&self.shared, meta, name, unit, value as f64);
        metric("IncomingRecords", "Count", records);
        metric("IncomingBytes", "Bytes", bytes);
        metric("IncomingPutRequests", "Count", 1);
        metric(&format!("{operation}.Requests"), "Count", 1);
        metric(&format!("{operation}.Bytes"), "Bytes", sent);
        if operation == "PutRecordBatch" {
            metric("PutRecordBatch.Records", "Count", records);
        }
    }
}

/// What became of the records of a request.
struct Taken {
    /// `None` for a record that was throttled.
    ids: Vec<Option<String>>,
    encrypted: bool,
}

fn append(meta: &Meta, log: &Log, records: &[Vec<u8>], now_ms: i64) -> Result<Vec<String>> {
    let numbers = log.append(records, now_ms);
    let numbers =
        numbers.map_err(|error| Error::unavailable(format!("The records could not be stored: {error}.")))?;
    // The id of the delivery stream makes them unique in all.
    let unique = meta.id.replace('-', "");
    Ok(numbers
        .into_iter()
        .map(|number| format!("{unique}{number}"))
        .collect())
}

fn decoded(record: input::Record, member: &str) -> Result<Vec<u8>> {
    let data = required(record.data, member)?;
    let decoded = base64_simd::STANDARD.decode_to_vec(data.as_bytes());
    let decoded = decoded.map_err(|_| Error::serialization(format!("{member} is not base64.")))?;
    match decoded.len() > RECORD_BYTES {
        true => Err(Error::constraint(
            &format!("'{} bytes'", decoded.len()),
            member,
            &format!("have length less than or equal to {RECORD_BYTES}"),
        )),
        false => Ok(decoded),
    }
}
