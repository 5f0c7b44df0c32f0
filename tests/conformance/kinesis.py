"""Tests Kinesis on the local cloud with boto3, a client that is independent of streamctl.

Run by tests/conformance/run, which starts the local cloud and sets the environment. Every operation on data streams and
channels is called at least once (queues are not supported). The tests assert what AWS documents.
"""

import base64
import concurrent.futures
import datetime
import json
import os
import subprocess
import time
import unittest
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

CONFIG = Config(retries={"max_attempts": 0}, max_pool_connections=32, parameter_validation=False)
kinesis = boto3.client("kinesis", config=CONFIG)
called = set()
kinesis.meta.events.register("before-call.kinesis", lambda model, **_: called.add(model.name))
MAX_HASH = 2**128 - 1


def code(call, **kwargs):
    """Returns the error code of `call`, which must fail."""
    try:
        call(**kwargs)
    except ClientError as error:
        return error.response["Error"]["Code"]
    raise AssertionError(f"{call} succeeded")


def wait_active(name):
    for _ in range(500):
        summary = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        if summary["StreamStatus"] == "ACTIVE":
            return summary
        time.sleep(0.01)
    raise AssertionError(f"{name} never became ACTIVE")


def all_shards(name, **kwargs):
    page = kinesis.list_shards(StreamName=name, **kwargs)
    shards = page["Shards"]
    while page.get("NextToken"):
        page = kinesis.list_shards(NextToken=page["NextToken"])
        shards += page["Shards"]
    return shards


def open_shards(name):
    return [s for s in all_shards(name) if "EndingSequenceNumber" not in s["SequenceNumberRange"]]


def read_shard(name, shard_id, kind="TRIM_HORIZON", **kwargs):
    """Returns all records of a shard up to its current end, and the child shards if it is closed."""
    iterator = kinesis.get_shard_iterator(
        StreamName=name, ShardId=shard_id, ShardIteratorType=kind, **kwargs
    )["ShardIterator"]
    records, children = [], None
    while iterator:
        page = kinesis.get_records(ShardIterator=iterator)
        records += page["Records"]
        iterator = page.get("NextShardIterator")
        if not iterator:
            children = page.get("ChildShards", [])
        elif page["MillisBehindLatest"] == 0:
            break
    return records, children


class Stream:
    """A stream for one test. It is deleted afterwards."""

    def __init__(self, shards=1, **kwargs):
        self.name = f"conformance-{uuid.uuid4().hex[:12]}"
        self.args = {"ShardCount": shards} if shards else {}
        self.args.update(kwargs)

    def __enter__(self):
        kinesis.create_stream(StreamName=self.name, **self.args)
        summary = wait_active(self.name)
        self.arn = summary["StreamARN"]
        return self

    def __exit__(self, *_):
        kinesis.delete_stream(StreamName=self.name, EnforceConsumerDeletion=True)


class ControlPlane(unittest.TestCase):
    def test_create_with_tags_and_describe(self):
        with Stream(2, Tags={"team": "data", "purpose": "a b"}) as s:
            tags = {t["Key"]: t["Value"] for t in kinesis.list_tags_for_stream(StreamName=s.name)["Tags"]}
            self.assertEqual(tags, {"team": "data", "purpose": "a b"})
            description = kinesis.describe_stream(StreamName=s.name)["StreamDescription"]
            self.assertEqual(description["StreamStatus"], "ACTIVE")
            self.assertEqual(description["RetentionPeriodHours"], 24)
            self.assertEqual(description["EncryptionType"], "NONE")
            ranges = sorted(
                (int(x["HashKeyRange"]["StartingHashKey"]), int(x["HashKeyRange"]["EndingHashKey"]))
                for x in description["Shards"]
            )
            self.assertEqual(ranges, [(0, MAX_HASH // 2), (MAX_HASH // 2 + 1, MAX_HASH)])
            self.assertEqual(code(kinesis.create_stream, StreamName=s.name, ShardCount=1), "ResourceInUseException")

    def test_names_and_arns_are_interchangeable(self):
        with Stream() as s:
            kinesis.put_record(StreamARN=s.arn, Data=b"x", PartitionKey="k")
            self.assertEqual(
                kinesis.describe_stream_summary(StreamARN=s.arn)["StreamDescriptionSummary"]["StreamName"], s.name
            )
            self.assertEqual(len(kinesis.list_shards(StreamARN=s.arn)["Shards"]), 1)
            iterator = kinesis.get_shard_iterator(
                StreamARN=s.arn, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            self.assertEqual(len(kinesis.get_records(StreamARN=s.arn, ShardIterator=iterator)["Records"]), 1)
            kinesis.tag_resource(ResourceARN=s.arn, Tags={"a": "1"})
            self.assertEqual(kinesis.list_tags_for_resource(ResourceARN=s.arn)["Tags"], [{"Key": "a", "Value": "1"}])
            kinesis.untag_resource(ResourceARN=s.arn, TagKeys=["a"])
            self.assertEqual(kinesis.list_tags_for_resource(ResourceARN=s.arn)["Tags"], [])

    def test_tags_by_name(self):
        with Stream() as s:
            kinesis.add_tags_to_stream(StreamName=s.name, Tags={"a": "1", "b": "2"})
            kinesis.remove_tags_from_stream(StreamName=s.name, TagKeys=["a"])
            self.assertEqual(kinesis.list_tags_for_stream(StreamName=s.name)["Tags"], [{"Key": "b", "Value": "2"}])

    def test_warm_throughput_needs_the_billing_commitment(self):
        with Stream(None, StreamModeDetails={"StreamMode": "ON_DEMAND"}) as s:
            self.assertEqual(
                code(kinesis.update_stream_warm_throughput, StreamARN=s.arn, WarmThroughputMiBps=50),
                "ValidationException")
            kinesis.update_account_settings(MinimumThroughputBillingCommitment={"Status": "ENABLED"})
            kinesis.update_stream_warm_throughput(StreamARN=s.arn, WarmThroughputMiBps=50)
            self.assertEqual(wait_active(s.name)["WarmThroughput"]["CurrentMiBps"], 50)

    def test_record_distribution_is_for_on_demand_streams(self):
        if not hasattr(kinesis, "update_stream_record_distribution_strategy"):
            self.skipTest("this boto3 is older than the operation")
        with Stream(None, StreamModeDetails={"StreamMode": "ON_DEMAND"}) as s:
            kinesis.update_stream_record_distribution_strategy(StreamARN=s.arn, RecordDistributionStrategy="AUTO")
            self.assertEqual(wait_active(s.name)["RecordDistributionStrategy"], "AUTO")
        with Stream() as s:
            self.assertEqual(
                code(kinesis.update_stream_record_distribution_strategy, StreamARN=s.arn,
                     RecordDistributionStrategy="AUTO"), "InvalidArgumentException")

    def test_list_streams_pages(self):
        streams = [Stream().__enter__() for _ in range(5)]
        try:
            mine = {s.name for s in streams}
            seen, kwargs = [], {}
            while True:
                page = kinesis.list_streams(Limit=2, **kwargs)
                self.assertLessEqual(len(page["StreamNames"]), 2)
                seen += page["StreamNames"]
                if not page["HasMoreStreams"]:
                    break
                kwargs = {"NextToken": page["NextToken"]}
            self.assertEqual(seen, sorted(seen))
            self.assertTrue(mine <= set(seen))
            after = kinesis.list_streams(ExclusiveStartStreamName=sorted(mine)[0])["StreamNames"]
            self.assertNotIn(sorted(mine)[0], after)
        finally:
            for s in streams:
                s.__exit__()

    def test_list_shards_pages_and_filters(self):
        with Stream(7) as s:
            page = kinesis.list_shards(StreamName=s.name, MaxResults=3)
            self.assertEqual(len(page["Shards"]), 3)
            rest = kinesis.list_shards(NextToken=page["NextToken"])["Shards"]
            self.assertEqual(len(rest), 4)
            self.assertEqual(
                code(kinesis.list_shards, StreamName=s.name, NextToken=page["NextToken"]), "InvalidArgumentException"
            )
            latest = kinesis.list_shards(StreamName=s.name, ShardFilter={"Type": "AT_LATEST"})["Shards"]
            self.assertEqual(len(latest), 7)
            after = kinesis.list_shards(
                StreamName=s.name, ShardFilter={"Type": "AFTER_SHARD_ID", "ShardId": "shardId-000000000004"}
            )["Shards"]
            self.assertEqual([x["ShardId"][-1] for x in after], ["5", "6"])

    def test_error_codes(self):
        self.assertEqual(code(kinesis.describe_stream, StreamName="absent"), "ResourceNotFoundException")
        self.assertEqual(code(kinesis.put_record, StreamName="absent", Data=b"", PartitionKey="k"),
                         "ResourceNotFoundException")
        self.assertEqual(code(kinesis.create_stream, StreamName="bad name!", ShardCount=1), "ValidationException")
        self.assertEqual(code(kinesis.create_stream, StreamName="x", ShardCount=0), "ValidationException")
        self.assertEqual(code(kinesis.get_records, ShardIterator="rubbish"), "InvalidArgumentException")
        with Stream() as s:
            self.assertEqual(
                code(kinesis.get_shard_iterator, StreamName=s.name, ShardId="shardId-000000000009",
                     ShardIteratorType="LATEST"), "ResourceNotFoundException")
            self.assertEqual(
                code(kinesis.decrease_stream_retention_period, StreamName=s.name, RetentionPeriodHours=48),
                "InvalidArgumentException")

    def test_retention_monitoring_mode_and_sizes(self):
        with Stream(2) as s:
            kinesis.increase_stream_retention_period(StreamName=s.name, RetentionPeriodHours=48)
            wait_active(s.name)
            kinesis.decrease_stream_retention_period(StreamName=s.name, RetentionPeriodHours=24)
            wait_active(s.name)
            on = kinesis.enable_enhanced_monitoring(StreamName=s.name, ShardLevelMetrics=["ALL"])
            self.assertEqual(len(on["DesiredShardLevelMetrics"]), 7)
            wait_active(s.name)
            off = kinesis.disable_enhanced_monitoring(StreamName=s.name, ShardLevelMetrics=["IncomingBytes"])
            self.assertEqual(len(off["DesiredShardLevelMetrics"]), 6)
            wait_active(s.name)
            kinesis.update_max_record_size(StreamARN=s.arn, MaxRecordSizeInKiB=2048)
            summary = wait_active(s.name)
            self.assertEqual(summary["MaxRecordSizeInKiB"], 2048)
            kinesis.put_record(StreamName=s.name, Data=b"x" * (1536 * 1024), PartitionKey="k")
            kinesis.update_stream_mode(StreamARN=s.arn, StreamModeDetails={"StreamMode": "ON_DEMAND"})
            self.assertEqual(wait_active(s.name)["StreamModeDetails"]["StreamMode"], "ON_DEMAND")

    def test_limits_account_and_policies(self):
        limits = kinesis.describe_limits()
        self.assertGreaterEqual(limits["ShardLimit"], 1)
        kinesis.describe_account_settings()
        with Stream() as s:
            document = {"Version": "2012-10-17", "Statement": [{
                "Sid": "read", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
                "Action": ["kinesis:GetRecords"], "Resource": s.arn}]}
            kinesis.put_resource_policy(ResourceARN=s.arn, Policy=json.dumps(document))
            self.assertEqual(json.loads(kinesis.get_resource_policy(ResourceARN=s.arn)["Policy"]), document)
            kinesis.delete_resource_policy(ResourceARN=s.arn)
            self.assertEqual(code(kinesis.get_resource_policy, ResourceARN=s.arn), "ResourceNotFoundException")

    def test_on_demand_has_four_shards(self):
        with Stream(None, StreamModeDetails={"StreamMode": "ON_DEMAND"}) as s:
            self.assertEqual(len(open_shards(s.name)), 4)
            self.assertEqual(
                code(kinesis.update_shard_count, StreamName=s.name, TargetShardCount=8, ScalingType="UNIFORM_SCALING"),
                "ValidationException")

    def test_responses_have_the_encryption_type(self):
        with Stream() as s:
            kinesis.put_record(StreamName=s.name, Data=b"plain", PartitionKey="k")
            kinesis.start_stream_encryption(StreamName=s.name, EncryptionType="KMS", KeyId="alias/aws/kinesis")
            self.assertEqual(wait_active(s.name)["EncryptionType"], "KMS")
            put = kinesis.put_record(StreamName=s.name, Data=b"secret", PartitionKey="k")
            self.assertEqual(put["EncryptionType"], "KMS")
            many = kinesis.put_records(StreamName=s.name, Records=[{"Data": b"s", "PartitionKey": "k"}])
            self.assertEqual(many["EncryptionType"], "KMS")
            records, _ = read_shard(s.name, "shardId-000000000000")
            self.assertEqual([r.get("EncryptionType", "NONE") for r in records], ["NONE", "KMS", "KMS"])
            kinesis.stop_stream_encryption(StreamName=s.name, EncryptionType="KMS", KeyId="alias/aws/kinesis")
            self.assertEqual(wait_active(s.name)["EncryptionType"], "NONE")


class Resharding(unittest.TestCase):
    def test_split_and_merge(self):
        with Stream() as s:
            kinesis.split_shard(StreamName=s.name, ShardToSplit="shardId-000000000000",
                                NewStartingHashKey=str(2**127))
            wait_active(s.name)
            children = open_shards(s.name)
            self.assertEqual([c["ParentShardId"] for c in children], ["shardId-000000000000"] * 2)
            kinesis.merge_shards(StreamName=s.name, ShardToMerge=children[0]["ShardId"],
                                 AdjacentShardToMerge=children[1]["ShardId"])
            wait_active(s.name)
            merged = open_shards(s.name)
            self.assertEqual(len(merged), 1)
            self.assertEqual(
                {merged[0]["ParentShardId"], merged[0]["AdjacentParentShardId"]}, {c["ShardId"] for c in children})
            # "… has already been merged or split, and thus is not eligible for merging or splitting."
            self.assertEqual(
                code(kinesis.split_shard, StreamName=s.name, ShardToSplit="shardId-000000000000",
                     NewStartingHashKey="5"), "InvalidArgumentException")

    def test_two_to_four_to_three_reads_every_record_in_order(self):
        with Stream(2) as s:
            sent = {f"key-{k}": [] for k in range(40)}

            def send(generation):
                entries = []
                for n in range(10):
                    for key in sent:
                        entries.append({"Data": f"{key}/{generation}/{n}".encode(), "PartitionKey": key})
                        sent[key].append(f"{key}/{generation}/{n}")
                answer = kinesis.put_records(StreamName=s.name, Records=entries)
                self.assertEqual(answer["FailedRecordCount"], 0)

            send(0)
            for generation, target in ((1, 4), (2, 3)):
                answer = kinesis.update_shard_count(
                    StreamName=s.name, TargetShardCount=target, ScalingType="UNIFORM_SCALING")
                self.assertEqual(answer["TargetShardCount"], target)
                wait_active(s.name)
                self.assertEqual(len(open_shards(s.name)), target)
                send(generation)
            shards = {x["ShardId"]: x for x in all_shards(s.name)}
            got = {key: [] for key in sent}
            done, todo = set(), list(shards)
            while todo:
                shard_id = todo.pop(0)
                parents = [shards[shard_id].get(p) for p in ("ParentShardId", "AdjacentParentShardId")]
                if any(p in shards and p not in done for p in parents if p):
                    todo.append(shard_id)
                    continue
                records, children = read_shard(s.name, shard_id)
                self.assertEqual(
                    [int(r["SequenceNumber"]) for r in records], sorted(int(r["SequenceNumber"]) for r in records))
                for record in records:
                    got[record["PartitionKey"]].append(record["Data"].decode())
                if "EndingSequenceNumber" in shards[shard_id]["SequenceNumberRange"]:
                    self.assertTrue(children)
                    for child in children:
                        self.assertIn(shard_id, child["ParentShards"])
                done.add(shard_id)
            self.assertEqual(got, sent)
            self.assertEqual(
                code(kinesis.update_shard_count, StreamName=s.name, TargetShardCount=7,
                     ScalingType="UNIFORM_SCALING"), "LimitExceededException")


class DataPlane(unittest.TestCase):
    def test_put_and_read_bytes(self):
        with Stream() as s:
            payload = bytes(range(256)) * 16
            put = kinesis.put_record(StreamName=s.name, Data=payload, PartitionKey="ключ \"1\"\n")
            self.assertEqual(put["ShardId"], "shardId-000000000000")
            records, _ = read_shard(s.name, put["ShardId"])
            self.assertEqual(records[0]["Data"], payload)
            self.assertEqual(records[0]["PartitionKey"], "ключ \"1\"\n")
            self.assertEqual(records[0]["SequenceNumber"], put["SequenceNumber"])
            age = datetime.datetime.now(datetime.timezone.utc) - records[0]["ApproximateArrivalTimestamp"]
            self.assertLess(abs(age.total_seconds()), 60)

    def test_every_iterator_type(self):
        with Stream() as s:
            shard = "shardId-000000000000"
            first = [kinesis.put_record(StreamName=s.name, Data=str(n).encode(), PartitionKey="k")["SequenceNumber"]
                     for n in range(3)]
            # boto3 sends timestamps in whole seconds, so wait until the next second.
            between = int(time.time()) + 1
            while time.time() <= between:
                time.sleep(0.01)
            latest = kinesis.get_shard_iterator(
                StreamName=s.name, ShardId=shard, ShardIteratorType="LATEST")["ShardIterator"]
            for n in range(3, 6):
                kinesis.put_record(StreamName=s.name, Data=str(n).encode(), PartitionKey="k")

            def data(kind, **kwargs):
                return [r["Data"].decode() for r in read_shard(s.name, shard, kind, **kwargs)[0]]

            self.assertEqual(data("TRIM_HORIZON"), list("012345"))
            self.assertEqual(data("AT_SEQUENCE_NUMBER", StartingSequenceNumber=first[1]), list("12345"))
            self.assertEqual(data("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=first[1]), list("2345"))
            self.assertEqual(data("AT_TIMESTAMP", Timestamp=between), list("345"))
            self.assertEqual(data("AT_TIMESTAMP", Timestamp=0), list("012345"))
            self.assertEqual([r["Data"] for r in kinesis.get_records(ShardIterator=latest)["Records"]],
                             [b"3", b"4", b"5"])
            self.assertEqual(
                code(kinesis.get_shard_iterator, StreamName=s.name, ShardId=shard,
                     ShardIteratorType="AT_SEQUENCE_NUMBER", StartingSequenceNumber="123"),
                "InvalidArgumentException")

    def test_millis_behind_latest(self):
        with Stream() as s:
            for n in range(5):
                kinesis.put_record(StreamName=s.name, Data=b"x", PartitionKey="k")
                time.sleep(0.01)
            iterator = kinesis.get_shard_iterator(
                StreamName=s.name, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
            page = kinesis.get_records(ShardIterator=iterator, Limit=1)
            self.assertGreater(page["MillisBehindLatest"], 0)
            while page["MillisBehindLatest"]:
                page = kinesis.get_records(ShardIterator=page["NextShardIterator"], Limit=1)
            self.assertEqual(page["MillisBehindLatest"], 0)

    def test_ten_mebibytes_a_call(self):
        with Stream() as s:
            for _ in range(3):
                kinesis.put_records(StreamName=s.name, Records=[
                    {"Data": os.urandom(1024 * 1000), "PartitionKey": "k"} for _ in range(5)])
            iterator = kinesis.get_shard_iterator(
                StreamName=s.name, ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
            page = kinesis.get_records(ShardIterator=iterator)
            size = sum(len(r["Data"]) + len(r["PartitionKey"]) for r in page["Records"])
            self.assertLessEqual(size, 10 * 1024 * 1024)
            self.assertGreater(size, 5 * 1024 * 1024)
            self.assertEqual(len(read_shard(s.name, "shardId-000000000000")[0]), 15)

    def test_limits_of_put(self):
        with Stream() as s:
            entry = {"Data": b"x", "PartitionKey": "k"}
            self.assertEqual(code(kinesis.put_records, StreamName=s.name, Records=[entry] * 501),
                             "ValidationException")
            self.assertEqual(code(kinesis.put_records, StreamName=s.name, Records=[]), "ValidationException")
            self.assertEqual(
                code(kinesis.put_record, StreamName=s.name, Data=b"x" * (1024 * 1024 + 1), PartitionKey="k"),
                "ValidationException")
            self.assertEqual(code(kinesis.put_record, StreamName=s.name, Data=b"x", PartitionKey="k" * 257),
                             "ValidationException")
            self.assertEqual(code(kinesis.put_record, StreamName=s.name, Data=b"x", PartitionKey=""),
                             "ValidationException")
            self.assertIn(code(kinesis.put_record, StreamName=s.name, Data=b"x", PartitionKey="k",
                               ExplicitHashKey=str(2**128)), ("InvalidArgumentException", "ValidationException"))
            self.assertEqual(read_shard(s.name, "shardId-000000000000")[0], [])

    def test_explicit_hash_key_routes(self):
        with Stream(4) as s:
            for n in range(4):
                put = kinesis.put_record(StreamName=s.name, Data=b"x", PartitionKey="k",
                                         ExplicitHashKey=str(n * 2**126))
                self.assertEqual(put["ShardId"], f"shardId-{n:012d}")

    def test_expired_iterator(self):
        lifetime = float(os.environ["ITERATOR_LIFETIME_SECONDS"])
        with Stream() as s:
            iterator = kinesis.get_shard_iterator(
                StreamName=s.name, ShardId="shardId-000000000000", ShardIteratorType="LATEST")["ShardIterator"]
            time.sleep(lifetime + 0.2)
            self.assertEqual(code(kinesis.get_records, ShardIterator=iterator), "ExpiredIteratorException")

    def test_concurrent_writers_lose_nothing(self):
        with Stream(2) as s:
            def write(writer):
                for n in range(20):
                    answer = kinesis.put_records(StreamName=s.name, Records=[
                        {"Data": f"{writer}-{n}-{i}".encode(), "PartitionKey": f"{writer}-{i}"} for i in range(50)])
                    assert answer["FailedRecordCount"] == 0
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                list(pool.map(write, range(8)))
            got = [r["Data"] for shard in all_shards(s.name) for r in read_shard(s.name, shard["ShardId"])[0]]
            self.assertEqual(len(got), 8 * 20 * 50)
            self.assertEqual(len(set(got)), 8 * 20 * 50)


class Consumers(unittest.TestCase):
    def test_register_subscribe_deregister(self):
        with Stream() as s:
            consumer = kinesis.register_stream_consumer(StreamARN=s.arn, ConsumerName="reader")["Consumer"]
            arn = consumer["ConsumerARN"]
            for _ in range(500):
                described = kinesis.describe_stream_consumer(ConsumerARN=arn)["ConsumerDescription"]
                if described["ConsumerStatus"] == "ACTIVE":
                    break
                time.sleep(0.01)
            self.assertEqual(described["ConsumerStatus"], "ACTIVE")
            self.assertEqual(len(kinesis.list_stream_consumers(StreamARN=s.arn)["Consumers"]), 1)
            self.assertEqual(
                code(kinesis.register_stream_consumer, StreamARN=s.arn, ConsumerName="reader"),
                "ResourceInUseException")
            kinesis.put_record(StreamName=s.name, Data=b"pushed", PartitionKey="k")
            stream = kinesis.subscribe_to_shard(
                ConsumerARN=arn, ShardId="shardId-000000000000", StartingPosition={"Type": "TRIM_HORIZON"}
            )["EventStream"]
            for event in stream:
                records = event["SubscribeToShardEvent"]["Records"]
                if records:
                    self.assertEqual(records[0]["Data"], b"pushed")
                    self.assertIn("ContinuationSequenceNumber", event["SubscribeToShardEvent"])
                    break
            self.assertEqual(
                code(kinesis.subscribe_to_shard, ConsumerARN=arn, ShardId="shardId-000000000000",
                     StartingPosition={"Type": "LATEST"}), "ResourceInUseException")
            stream.close()
            self.assertEqual(code(kinesis.delete_stream, StreamName=s.name), "ResourceInUseException")
            kinesis.deregister_stream_consumer(ConsumerARN=arn)


@unittest.skipUnless(hasattr(kinesis, "create_channel"), "this boto3 is older than channels")
class Channels(unittest.TestCase):
    """Delivery to S3. The local cloud runs with a data freshness of less than a second."""

    def setUp(self):
        self.s3, self.iam = boto3.client("s3"), boto3.client("iam")
        self.name = f"channel-{uuid.uuid4().hex[:12]}"
        self.s3.create_bucket(Bucket=self.name)
        trust = {"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "kinesis.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
        role = self.iam.create_role(RoleName=self.name, AssumeRolePolicyDocument=json.dumps(trust))
        self.role = role["Role"]["Arn"]
        self.allow("s3:PutObject", f"arn:aws:s3:::{self.name}/*")

    def allow(self, action, resource):
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}]}
        self.iam.put_role_policy(RoleName=self.name, PolicyName="p", PolicyDocument=json.dumps(policy))

    def create(self, stream, **kwargs):
        bucket = {"BucketARN": f"arn:aws:s3:::{self.name}", "ExpectedBucketOwner": "000000000000"}
        input = {
            "ChannelName": self.name,
            "ServiceExecutionRoleARN": self.role,
            "StreamConfigurationList": [
                {"StreamARN": stream.arn, "RecordConfiguration": {"RecordFormatType": "JSON"}}],
            "S3DestinationConfiguration": {"StorageConfiguration": {**bucket, "CompressionType": "NONE"}},
        }
        return kinesis.create_channel(**{**input, **kwargs})["ChannelDescription"]["ChannelARN"]

    def wait(self, arn, status):
        for _ in range(500):
            channel = kinesis.describe_channel(ChannelARN=arn)["ChannelDescription"]
            if channel["ChannelStatus"] == status:
                return channel
            time.sleep(0.01)
        raise AssertionError(f"{channel} never became {status}")

    def wait_gone(self, arn):
        kinesis.delete_channel(ChannelARN=arn)
        for _ in range(500):
            try:
                kinesis.describe_channel(ChannelARN=arn)
            except kinesis.exceptions.ResourceNotFoundException:
                return
            time.sleep(0.01)
        raise AssertionError("the channel stays")

    def test_records_are_delivered(self):
        with Stream(None, StreamModeDetails={"StreamMode": "ON_DEMAND"}) as s:
            arn = self.create(s)
            self.wait(arn, "ACTIVE")
            kinesis.put_records(
                StreamName=s.name, Records=[{"Data": b"%d" % n, "PartitionKey": str(n)} for n in range(20)])
            seen = []
            for _ in range(600):
                listed = self.s3.list_objects_v2(Bucket=self.name).get("Contents", [])
                bodies = [self.s3.get_object(Bucket=self.name, Key=o["Key"])["Body"].read() for o in listed]
                seen = sorted(int(line) for body in bodies for line in body.splitlines())
                if len(seen) >= 20:
                    break
                time.sleep(0.05)
            self.assertEqual(seen, list(range(20)))
            summary = kinesis.describe_stream_summary(StreamName=s.name)["StreamDescriptionSummary"]
            self.assertEqual(summary.get("ChannelCount", 1), 1)
            self.assertEqual(code(kinesis.delete_stream, StreamName=s.name), "ResourceInUseException")
            self.assertEqual(code(self.create, stream=s), "ResourceInUseException")
            self.assertEqual(code(self.create, stream=s, ChannelName="other"), "LimitExceededException")
            kinesis.update_channel(ChannelARN=arn, S3DestinationConfiguration={"DataFreshnessInSeconds": 900})
            updated = self.wait(arn, "ACTIVE")
            self.assertEqual(updated["S3DestinationConfiguration"]["DataFreshnessInSeconds"], 900)
            listed = kinesis.list_channels(StreamFilter=[{"StreamARN": s.arn}])["ChannelSummaries"]
            self.assertEqual([c["ChannelName"] for c in listed], [self.name])
            self.wait_gone(arn)

    def test_a_role_without_permission_makes_the_channel_fail(self):
        self.allow("s3:GetObject", "*")
        with Stream(None, StreamModeDetails={"StreamMode": "ON_DEMAND"}) as s:
            arn = self.create(s)
            self.assertIn("s3:PutObject", self.wait(arn, "FAILED")["ChannelStatusReason"])
            self.wait_gone(arn)

    def test_only_on_demand_streams_have_channels(self):
        with Stream() as s:
            self.assertEqual(code(self.create, stream=s), "ValidationException")


class CommandLine(unittest.TestCase):
    """Tests the local cloud with the AWS CLI."""

    def run_aws(self, *args):
        return subprocess.run(["aws", "kinesis", *args, "--output", "json"], capture_output=True, text=True)

    def aws(self, *args):
        done = self.run_aws(*args)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def records(self, name):
        # The iterators of this suite live for seconds, and the CLI may take as long to start on a busy machine.
        for _ in range(10):
            iterator = self.aws("get-shard-iterator", "--stream-name", name, "--shard-id", "shardId-000000000000",
                                "--shard-iterator-type", "TRIM_HORIZON")["ShardIterator"]
            done = self.run_aws("get-records", "--shard-iterator", iterator)
            if "ExpiredIteratorException" not in done.stderr:
                break
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["Records"]

    def test_a_session(self):
        name = f"cli-{uuid.uuid4().hex[:12]}"
        self.aws("create-stream", "--stream-name", name, "--shard-count", "1", "--tags", "a=1")
        self.aws("wait", "stream-exists", "--stream-name", name)
        # Version 1 of the AWS CLI takes the text itself, version 2 base64.
        self.aws("put-record", "--stream-name", name, "--partition-key", "k", "--data", "hello")
        self.assertEqual(base64.b64decode(self.records(name)[0]["Data"]), b"hello")
        self.assertIn(name, self.aws("list-streams")["StreamNames"])
        self.aws("update-shard-count", "--stream-name", name, "--target-shard-count", "2",
                 "--scaling-type", "UNIFORM_SCALING")
        self.aws("wait", "stream-exists", "--stream-name", name)
        self.assertEqual(len(self.aws("list-shards", "--stream-name", name)["Shards"]), 3)
        self.aws("delete-stream", "--stream-name", name)
        self.aws("wait", "stream-not-exists", "--stream-name", name)


class SideServices(unittest.TestCase):
    def test_identity_policy_and_metrics(self):
        self.assertRegex(boto3.client("sts").get_caller_identity()["Account"], r"^\d{12}$")
        iam = boto3.client("iam")
        name = f"policy-{uuid.uuid4().hex[:8]}"
        document = json.dumps({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "kinesis:PutRecord", "Resource": "*"}]})
        arn = iam.create_policy(PolicyName=name, PolicyDocument=document, Path="/x/")["Policy"]["Arn"]
        self.assertEqual(iam.get_policy(PolicyArn=arn)["Policy"]["PolicyName"], name)
        iam.delete_policy(PolicyArn=arn)
        with Stream() as s:
            kinesis.put_records(StreamName=s.name, Records=[{"Data": b"x" * 10, "PartitionKey": "k"}] * 7)
            now = datetime.datetime.now(datetime.timezone.utc)
            answer = boto3.client("cloudwatch").get_metric_statistics(
                Namespace="AWS/Kinesis", MetricName="IncomingRecords",
                Dimensions=[{"Name": "StreamName", "Value": s.name}],
                StartTime=now - datetime.timedelta(minutes=5), EndTime=now + datetime.timedelta(minutes=1),
                Period=60, Statistics=["Sum"])
            self.assertEqual(sum(p["Sum"] for p in answer["Datapoints"]), 7)


def tearDownModule():
    """Checks that every operation was called."""
    names = kinesis.meta.service_model.operation_names
    missing = {name for name in names if "Queue" not in name} - called
    assert not missing, f"operations that were never called: {sorted(missing)}"


if __name__ == "__main__":
    unittest.main(verbosity=1)
