"""Aggregated records, both ways: streamctl and awslabs/kinesis-aggregation (PyPI aws-kinesis-agg) read each other."""

import base64
import json
import os
import subprocess

import boto3
from aws_kinesis_agg.aggregator import RecordAggregator
from aws_kinesis_agg.deaggregator import iter_deaggregate_records

streamctl = os.environ["STREAMCTL"]
kinesis = boto3.client("kinesis")


def run(*args, text=None):
    """Runs streamctl and returns its stdout."""
    return subprocess.run([streamctl, *args], input=text, check=True, capture_output=True, text=True).stdout


def stream(name):
    kinesis.create_stream(StreamName=name, ShardCount=2)
    kinesis.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    return name


def records(name):
    """The Kinesis records of a stream."""
    for shard in kinesis.list_shards(StreamName=name)["Shards"]:
        start = {"StreamName": name, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        iterator = kinesis.get_shard_iterator(**start)["ShardIterator"]
        while True:
            page = kinesis.get_records(ShardIterator=iterator)
            yield from page["Records"]
            if page["MillisBehindLatest"] == 0:
                break
            iterator = page["NextShardIterator"]


def theirs_is_read():
    """What the library aggregates, tail splits."""
    name = stream("theirs")
    aggregator = RecordAggregator()
    expected = [(f"key-{n % 3}", f"record {n} é") for n in range(40)]
    for key, data in expected:
        aggregator.add_user_record(key, data.encode())
    key, hash_key, data = aggregator.clear_and_get().get_contents()
    extra = {"ExplicitHashKey": hash_key} if hash_key else {}
    kinesis.put_record(StreamName=name, PartitionKey=key, Data=data, **extra)
    lines = run("tail", name, "--from", "trim", "--no-follow", "-o", "json", "--decode", "auto")
    lines = lines.splitlines()
    read = [(line["partition_key"], line["data"]) for line in map(json.loads, lines)]
    assert read == expected, read


def ours_is_read():
    """What put aggregates, the library splits."""
    name = stream("ours")
    lines = [json.dumps({"key": f"key-{n % 7}", "n": n}) for n in range(3000)]
    run("put", name, "--aggregate", "--key-field", "key", text="\n".join(lines))
    stored = list(records(name))
    assert len(stored) < 300, len(stored)
    found = []
    for record in iter_deaggregate_records(stored, data_format="Boto3"):
        data = base64.b64decode(record["kinesis"]["data"]).decode()
        assert json.loads(data)["key"] == record["kinesis"]["partitionKey"]
        found.append(data)
    assert sorted(found) == sorted(lines), len(found)


theirs_is_read()
ours_is_read()
print("aggregated records: read both ways")
