"""Takes every bundled pipeline through its life: set up, fed, checked, destroyed, by the real binary.

Run by tests/emulator/run, which starts the emulator. What the pipelines made is looked at with boto3, which knows nothing
of streamctl. Left out is what the emulator is known to get wrong: batchItemFailures, bisect, destinations, batch windows,
data after UpdateShardCount, and the shard count of on-demand streams.
"""

import json
import os
import subprocess
import time
import unittest
import urllib.request

import boto3
from botocore.exceptions import ClientError

STREAMCTL = os.environ["STREAMCTL"]
ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("STREAMCTL_STREAM", "AWS_KINESIS_STREAM_NAME")}


def setUpModule():
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{ENDPOINT}/_ministack/health", timeout=1).read()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the emulator does not answer")


def streamctl(*arguments, codes=(0,)):
    """Runs streamctl and returns its JSON."""
    command = [STREAMCTL, "--endpoint-url", ENDPOINT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=240, cwd=ROOT)
    if done.returncode not in codes:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return json.loads(done.stdout) if done.stdout.strip().startswith(("{", "[")) else done.stdout


def eventually(look, what):
    """What `look` returns, once it is something."""
    for _ in range(300):
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} never came")


def client(service):
    return boto3.client(service, endpoint_url=ENDPOINT)


def items(table):
    pages = client("dynamodb").get_paginator("scan").paginate(TableName=table)
    return [item for page in pages for item in page["Items"]]


def keys(bucket, prefix=""):
    pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def events(template):
    return f"templates/{template}/events.json"


class Life:
    """The life of one pipeline. What differs between them is in the subclasses."""

    template = None

    def stream(self):
        return self.outputs["stream_name"]

    def before(self):
        """What the events need besides what the pipeline makes."""

    def test_life(self):
        made = streamctl("setup", self.template, "-o", "json")
        self.outputs = made["outputs"]
        try:
            self.assertEqual({r["result"] for r in made["resources"]} - {"created", "unchanged"}, set(), made)
            again = streamctl("setup", self.template, "-o", "json")
            changed = [r for r in again["resources"] if r["result"] != "unchanged" and r["kind"] != "test_record"]
            self.assertEqual(changed, [])
            self.before()
            streamctl("put", "--stream", self.stream(), "--file", events(self.template))
            self.processed()
            function = self.outputs["function_name"]
            mappings = json.dumps(streamctl("mappings", function, "-o", "json"))
            self.assertIn(self.stream(), mappings)
            self.assertIn("REPORT", eventually(lambda: self.log(function), "the log"))
            checked = streamctl("verify", self.template, "-o", "json", codes=(0, 5))
            faults = [
                (resource["name"], check["check"], check["detail"])
                for resource in checked["resources"]
                for check in resource["checks"]
                if check["state"] == "fault"
            ]
            self.assertEqual(faults, [])
        finally:
            gone = streamctl("destroy", self.template, "--yes", "-o", "json")
        left = [r for r in gone["resources"] if r["result"] not in ("deleted", "absent")]
        self.assertEqual(left, [])
        self.assertNotIn(self.stream(), client("kinesis").list_streams()["StreamNames"])
        with self.assertRaises(ClientError):
            client("lambda").get_function(FunctionName=function)
        again = streamctl("destroy", self.template, "--yes", "-o", "json")
        self.assertEqual({r["result"] for r in again["resources"]}, {"absent"})

    def log(self, function):
        text = streamctl("logs", function, codes=(0, 1))
        return text if "REPORT" in str(text) else None


class Retail(Life, unittest.TestCase):
    template = "retail"

    def processed(self):
        with open(os.path.join(ROOT, events("retail"))) as file:
            sent = json.load(file)
        found = eventually(
            lambda: (lambda all: all if len(all) >= len(sent) else None)(items(self.outputs["table_name"])),
            "every event",
        )
        self.assertEqual(len(found), len(sent))
        self.assertTrue(all(item["engagementLevel"]["S"] in ("low", "medium", "high") for item in found))


class Realtime(Life, unittest.TestCase):
    template = "realtime"

    def processed(self):
        eventually(lambda: items(self.outputs["table_name"]), "a metric")
        eventually(lambda: keys(self.outputs["bucket_name"], "raw/"), "the archive")


class Concert(Life, unittest.TestCase):
    template = "concert"

    def processed(self):
        eventually(lambda: keys(self.outputs["bucket_name"], "raw/"), "a raw object")
        eventually(lambda: keys(self.outputs["bucket_name"], "processed/"), "a processed batch")


class Prices(Life, unittest.TestCase):
    template = "prices"

    def before(self):
        with open(os.path.join(ROOT, "templates/prices/products.json")) as file:
            requests = json.load(file)["products"]
        for start in range(0, len(requests), 25):
            page = {self.outputs["table_name"]: requests[start : start + 25]}
            client("dynamodb").batch_write_item(RequestItems=page)

    def processed(self):
        priced = lambda: [item for item in items(self.outputs["table_name"]) if "price_sequence" in item]
        eventually(priced, "a new price")


if __name__ == "__main__":
    unittest.main(verbosity=2)
