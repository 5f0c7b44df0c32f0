"""The Kinesis Client Library (kcl-rs, a port of KCL 3) against the local cloud.

Two workers share a stream, by polling and by enhanced fan-out. In the middle a shard is split, two are merged, and the
worker that reads the most is killed. Every record must be checkpointed, in the order of its shard, parents before their
children. A record may be read twice only if its reader was killed before the checkpoint.
"""

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import boto3

PHASE = 150  # records of each of the three phases
# Seconds. KCL itself waits up to 30 for others to fill an empty lease table, and 20 to 60 before it takes over leases.
DEADLINE = 180

kinesis = boto3.client("kinesis")
dynamodb = boto3.client("dynamodb")


class Worker:
    """A process, and the events it wrote so far."""

    def __init__(self, mode, application, stream, name):
        here = os.path.dirname(os.path.abspath(__file__))
        command = [sys.executable, os.path.join(here, "kcl_worker.py"), mode, application, stream, name]
        self.name = name
        self.events = []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.events.append({"time": time.monotonic(), **json.loads(line)})

    def kill(self):
        """Kills the process as `kill -9` does. What it wrote before remains."""
        self.process.kill()
        self.process.wait()
        self.reader.join()

    def records(self, kind):
        return [tuple(record) for e in self.events if e["event"] == kind for record in e["records"]]


class Run:
    def __init__(self, mode):
        self.mode = mode
        self.stream = f"kcl-{mode.lower()}"
        self.application = f"kcl-{mode.lower()}-app"
        self.began = time.monotonic()
        self.put = {}
        self.workers = []

    def log(self, text):
        sys.stdout.write(f"{self.mode:8} {time.monotonic() - self.began:5.1f} s  {text}\n")
        sys.stdout.flush()

    def wait(self, what, done):
        while not done():
            if time.monotonic() - self.began > DEADLINE:
                raise AssertionError(f"{self.mode}: not within {DEADLINE} s: {what}; {self.missing()[:20]}")
            for worker in self.workers:
                assert worker.process.poll() in (None, -9), f"{self.mode}: {worker.name} ended by itself"
            time.sleep(0.1)
        self.log(what)

    def put_phase(self, phase):
        for start in range(0, PHASE, 50):
            names = [f"{phase}-{i}" for i in range(start, start + 50)]
            entries = [{"Data": name.encode(), "PartitionKey": name} for name in names]
            answer = kinesis.put_records(StreamName=self.stream, Records=entries)
            assert answer["FailedRecordCount"] == 0, answer
            for name, record in zip(names, answer["Records"]):
                self.put[name] = (record["ShardId"], record["SequenceNumber"])

    def checkpointed(self):
        return {name for worker in self.workers for name, _ in worker.records("checkpointed")}

    def missing(self):
        return sorted(set(self.put) - self.checkpointed())

    def reshard(self):
        """Merges two of the three shards, and splits the third."""
        first, second, third = [s["ShardId"] for s in kinesis.list_shards(StreamName=self.stream)["Shards"]]
        kinesis.merge_shards(StreamName=self.stream, ShardToMerge=first, AdjacentShardToMerge=second)
        self.active()
        kinesis.split_shard(StreamName=self.stream, ShardToSplit=third, NewStartingHashKey=str(5 * 2**128 // 6))
        self.active()

    def active(self):
        while kinesis.describe_stream_summary(StreamName=self.stream)["StreamDescriptionSummary"]["StreamStatus"] != "ACTIVE":
            time.sleep(0.1)

    def run(self):
        kinesis.create_stream(StreamName=self.stream, ShardCount=3)
        self.active()
        self.put_phase("before")
        self.workers = [Worker(self.mode, self.application, self.stream, name) for name in ("one", "two")]
        try:
            self.wait("all records of the first phase are checkpointed", lambda: not self.missing())
            self.reshard()
            self.put_phase("resharded")
            busiest = max(self.workers, key=lambda worker: len(worker.records("checkpointed")))
            busiest.kill()
            self.log(f"resharded, and killed worker {busiest.name}")
            self.put_phase("after")
            self.wait("all records are checkpointed", lambda: not self.missing())
            self.check_events(busiest)
            self.wait("the leases are at the end", self.leases_are_at_the_end)
        finally:
            for worker in self.workers:
                worker.kill()
        self.log("done")

    def check_events(self, killed):
        shards = {s["ShardId"]: s for s in kinesis.list_shards(StreamName=self.stream)["Shards"]}
        assert len(shards) == 6, shards.keys()
        ended, seen = {}, {}
        for event in sorted((e for w in self.workers for e in w.events), key=lambda e: e["time"]):
            shard = event["shard"]
            if event["event"] == "ended":
                ended[shard] = event["time"]
            if event["event"] == "started":
                parents = (shards[shard].get("ParentShardId"), shards[shard].get("AdjacentParentShardId"))
                for parent in filter(None, parents):
                    assert parent in ended, f"{self.mode}: {shard} started before its parent {parent} ended"
        for worker in self.workers:
            last = {}
            for event in worker.events:
                if event["event"] != "read":
                    continue
                for name, sequence in event["records"]:
                    shard = event["shard"]
                    assert self.put[name] == (shard, sequence), (name, shard, sequence)
                    assert int(sequence) > last.get(shard, 0), f"{self.mode}: {name} is out of order"
                    last[shard] = int(sequence)
                    seen.setdefault(name, []).append(worker)
        safe = {name for name, _ in killed.records("checkpointed")}
        twice = [name for name, readers in seen.items() if len(readers) > 1 and name in safe]
        # The last batch may have been checkpointed and its event not written, so its records are not in `safe`.
        assert not twice, f"{self.mode}: read again after the checkpoint: {twice[:10]}"

    def leases_are_at_the_end(self):
        items = dynamodb.scan(TableName=self.application, ConsistentRead=True)["Items"]
        leases = {item["leaseKey"]["S"]: item for item in items if "checkpoint" in item}
        for shard in kinesis.list_shards(StreamName=self.stream)["Shards"]:
            name = shard["ShardId"]
            last = max((int(sequence) for of, sequence in self.put.values() if of == name), default=0)
            is_closed = "EndingSequenceNumber" in shard["SequenceNumberRange"]
            # KCL deletes the lease of an ended shard when its children are being read.
            checkpoint = leases[name]["checkpoint"]["S"] if name in leases else "SHARD_END" if is_closed else "none"
            if is_closed and checkpoint != "SHARD_END":
                return False
            if not is_closed and last and (not checkpoint.isdigit() or int(checkpoint) < last):
                return False
        return True


def main():
    runs = [Run(mode) for mode in ("POLLING", "FANOUT")]
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(run.run) for run in runs]:
            done.result()
    records = sum(len(run.put) for run in runs)
    print(f"ok: KCL checkpointed all {records} records, through a reshard and a killed worker")


main()
