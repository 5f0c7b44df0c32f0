"""One worker of the Kinesis Client Library. Writes an event a line to stdout: what it started, checkpointed and ended.

Usage: kcl_worker.py POLLING|FANOUT APPLICATION STREAM WORKER
"""

import json
import os
import sys

from kcl_rs import RecordProcessorBase, Scheduler


def event(kind, shard, **fields):
    # One write, since shards have threads of their own.
    sys.stdout.write(json.dumps({"event": kind, "shard": shard, **fields}) + "\n")
    sys.stdout.flush()


class Processor(RecordProcessorBase):
    def initialize(self, given):
        self.shard = given.shard_id
        event("started", self.shard, at=given.sequence_number)

    def process_records(self, given):
        if not given.records:
            return
        records = [[record.data.decode(), record.sequence_number] for record in given.records]
        event("read", self.shard, records=records)
        given.checkpointer.checkpoint()
        event("checkpointed", self.shard, records=records)

    def lease_lost(self, given):
        event("lost", self.shard)

    def shard_ended(self, given):
        given.checkpointer.checkpoint()
        event("ended", self.shard)

    def shutdown_requested(self, given):
        given.checkpointer.checkpoint()


def main():
    mode, application, stream, worker = sys.argv[1:]
    polling = {"idle_time_between_reads_millis": 250} if mode == "POLLING" else {}
    Scheduler(
        stream_name=stream,
        application_name=application,
        record_processor_factory=Processor,
        worker_identifier=worker,
        region=os.environ["AWS_REGION"],
        endpoint_url=os.environ["AWS_ENDPOINT_URL"],
        initial_position="TRIM_HORIZON",
        retrieval_mode=mode,
        shard_sync_interval_millis=1000,
        **polling,
    ).run()


main()
