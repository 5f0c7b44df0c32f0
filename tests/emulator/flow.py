"""Tests every bundled pipeline with the real binary: plan, setup, events, verify, destroy; and the commands on a stream.

Run by tests/emulator/run, which starts the emulator. The tests read the created resources with boto3, which is
independent of streamctl, and compute the expected results again. The emulator enforces the policies of the functions'
roles.

These are left out, because the emulator (ministack 1.5) is known to get them wrong:
- batchItemFailures, bisect, destinations and batch windows: only the settings are checked, not their effect;
- data after UpdateShardCount, and the shard count of on-demand streams;
- shard-level metrics: EnableEnhancedMonitoring succeeds, but DescribeStreamSummary and DescribeStream do not show them, so
  `monitoring enable` waits for them without end;
- UpdateStreamMode, UpdateMaxRecordSize, UpdateStreamWarmThroughput, DescribeLimits and the settings of the account, which it
  does not have: the commands must say so;
- tags of dashboards: TagResource and ListTagsForResource support only alarms;
- SendMessageBatch, which the permission for SendMessage covers ("Amazon SQS API permissions" in its developer guide);
- resources of permissions: the paths of roles are dropped, and the resource of some calls is not determined;
- metrics: neither service metrics nor the embedded metric format, so alarms have no data.
"""

import collections
import contextlib
import decimal
import functools
import gzip
import http.client
import json
import os
import platform
import re
import subprocess
import tempfile
import time
import unittest
import urllib.parse

import boto3

STREAMCTL = os.environ["STREAMCTL"]
TEMPLATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "templates")
WARM_UP = "warm-up"
PATIENCE = 30  # Seconds.


@functools.cache
def client(service):
    return boto3.client(service)


def streamctl(*arguments, code=0, caller=None):
    """Runs streamctl, which must end with `code`. Returns its output, parsed if it is JSON."""
    command = [STREAMCTL, "--endpoint-url", os.environ["AWS_ENDPOINT_URL"], *arguments, "--output", "json"]
    environment = os.environ | (caller or {})
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, cwd=tempfile.gettempdir(), env=environment
    )
    if done.returncode != code:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return json.loads(done.stdout) if done.stdout.startswith(("[\n", "{\n")) else done.stdout


def eventually(look, what):
    """Calls `look` until it returns a true value. Returns this value."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {PATIENCE} s")


def pages(service, operation, key, **arguments):
    every = client(service).get_paginator(operation).paginate(**arguments)
    return [one for page in every for one in page.get(key, [])]


def items(table):
    return pages("dynamodb", "scan", "Items", TableName=table)


def objects(bucket, prefix):
    return [one["Key"] for one in pages("s3", "list_objects_v2", "Contents", Bucket=bucket, Prefix=prefix)]


def read(bucket, key):
    return client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def logged(group):
    return [event["message"] for event in pages("logs", "filter_log_events", "events", logGroupName=group)]


def request(api_url, method, path, body=None):
    """Sends a request to an API by its Host header, since its name does not resolve on every machine."""
    url = urllib.parse.urlsplit(api_url)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", url.port, timeout=PATIENCE)) as connection:
        connection.request(method, path, body, {"Host": url.netloc, "Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None


def template(name, file):
    with open(os.path.join(TEMPLATES, name, file)) as opened:
        return json.load(opened)


# Actions whose resource the emulator does not determine, or whose policy it does not support: it does not know the
# condition key lambda:FunctionArn, nor the suffix `:*` in ARNs of log groups.
ANY_RESOURCE = {
    "dynamodb:ListTagsOfResource",
    "dynamodb:TagResource",
    "dynamodb:UntagResource",
    "lambda:CreateEventSourceMapping",
    "lambda:CreateFunction",
    "logs:FilterLogEvents",
}


def create_user(name, policy):
    """Creates a user with this policy. Returns the environment variables with its credentials."""
    policy["Statement"].append({"Effect": "Allow", "Action": sorted(ANY_RESOURCE), "Resource": "*"})
    for statement in policy["Statement"]:
        if statement["Action"][0].startswith("iam:"):
            statement["Resource"] = [re.sub(":role/.*/", ":role/", resource) for resource in statement["Resource"]]
    iam = client("iam")
    iam.create_user(UserName=name)
    made = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(policy, separators=(",", ":")))
    iam.attach_user_policy(UserName=name, PolicyArn=made["Policy"]["Arn"])
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def inventory():
    """Returns all existing resources of the kinds that pipelines create."""
    names = {
        "streams": client("kinesis").list_streams()["StreamNames"],
        "tables": client("dynamodb").list_tables()["TableNames"],
        "buckets": [bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"]],
        "queues": client("sqs").list_queues().get("QueueUrls", []),
        "topics": [topic["TopicArn"] for topic in client("sns").list_topics()["Topics"]],
        "functions": [one["FunctionName"] for one in pages("lambda", "list_functions", "Functions")],
        "mappings": [one["UUID"] for one in pages("lambda", "list_event_source_mappings", "EventSourceMappings")],
        "roles": [one["RoleName"] for one in pages("iam", "list_roles", "Roles")],
        "policies": [one["PolicyName"] for one in pages("iam", "list_policies", "Policies", Scope="Local")],
        "log groups": [one["logGroupName"] for one in pages("logs", "describe_log_groups", "logGroups")],
        "alarms": [one["AlarmName"] for one in pages("cloudwatch", "describe_alarms", "MetricAlarms")],
        "dashboards": [one["DashboardName"] for one in pages("cloudwatch", "list_dashboards", "DashboardEntries")],
        "APIs": [one["Name"] for one in pages("apigatewayv2", "get_apis", "Items")],
        "delivery streams": client("firehose").list_delivery_streams()["DeliveryStreamNames"],
        "databases": [one["Name"] for one in pages("glue", "get_databases", "DatabaseList")],
        "work groups": [one["Name"] for one in client("athena").list_work_groups()["WorkGroups"]],
    }
    return {kind: sorted(some) for kind, some in names.items()}


class Pipeline:
    """Tests one pipeline. The subclasses have what differs between pipelines."""

    maxDiff = None
    template = None
    parameters = {}
    partition_key_field = None
    shards = 1
    memory = timeout = window = 0
    parallelization = 1
    record_age = 3600
    alarms = {}
    # Whether streamctl runs as a user with only the permissions of `plan --iam`, or as the root user.
    has_own_caller = False
    caller = None
    # Resources that the test changed itself, and the checks that report it.
    changed = {}

    def test_pipeline(self):
        if self.has_own_caller:
            self.caller = create_user(self.template, self.streamctl("plan", "--iam"))
        before = inventory()
        planned = self.streamctl("plan")
        self.assertEqual({one["action"] for one in planned["resources"]}, {"create"}, planned)
        try:
            made = self.streamctl("setup")
            self.outputs = made["outputs"]
            self.assertEqual({one["result"] for one in made["resources"]}, {"created"}, made)
            again = self.streamctl("setup")
            self.assertEqual({one["result"] for one in again["resources"]}, {"unchanged"}, again)
            self.assertEqual(again["outputs"], self.outputs)
            planned = self.streamctl("plan")
            self.assertEqual({one["action"] for one in planned["resources"]}, {"none"}, planned)
            self.assertEqual(self.streamctl("outputs"), self.outputs)
            self.check_resources()
            self.prepare()
            self.warm_up()
            self.put()
            self.processed()
            self.check_the_function()
            self.verify()
            self.repair()
        finally:
            # destroy also deletes the resources that a parameter added.
            gone = streamctl("destroy", self.template, "--yes", caller=self.caller)
        self.assertLessEqual({one["result"] for one in gone["resources"]}, {"deleted", "absent"}, gone)
        self.assertEqual(inventory(), before)
        gone = streamctl("destroy", self.template, "--yes", caller=self.caller)
        self.assertEqual({one["result"] for one in gone["resources"]}, {"absent"}, gone)

    def streamctl(self, command, *options, code=0):
        given = [word for pair in self.parameters.items() for word in ("--param", "=".join(pair))]
        return streamctl(command, self.template, *options, *given, code=code, caller=self.caller)

    def assertHas(self, found, expected):
        """Asserts that `found` contains all that is expected. It may contain more."""
        self.assertEqual({key: found.get(key) for key in expected}, expected)

    def check_resources(self):
        name = self.outputs["function_name"]
        queue = client("sqs").get_queue_attributes(QueueUrl=self.outputs["queue_url"], AttributeNames=["All"])[
            "Attributes"
        ]
        self.assertHas(queue, {"MessageRetentionPeriod": "1209600", "SqsManagedSseEnabled": "true"})
        stream = client("kinesis").describe_stream_summary(StreamName=self.outputs["stream_name"])[
            "StreamDescriptionSummary"
        ]
        self.assertHas(
            stream,
            {
                "StreamStatus": "ACTIVE",
                "OpenShardCount": self.shards,
                "RetentionPeriodHours": 24,
                "EncryptionType": "KMS",
                "KeyId": "alias/aws/kinesis",
            },
        )
        tags = client("kinesis").list_tags_for_stream(StreamName=self.outputs["stream_name"])["Tags"]
        self.assertHas({tag["Key"]: tag["Value"] for tag in tags}, {"ManagedBy": "streamctl"})
        function = client("lambda").get_function(FunctionName=name)["Configuration"]
        self.assertHas(
            function,
            {
                "State": "Active",
                "Runtime": "provided.al2023",
                "Architectures": ["arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"],
                "MemorySize": self.memory,
                "Timeout": self.timeout,
            },
        )
        [mapping] = pages("lambda", "list_event_source_mappings", "EventSourceMappings", FunctionName=name)
        self.assertHas(
            mapping,
            {
                "EventSourceArn": stream["StreamARN"],
                "State": "Enabled",
                "StartingPosition": "LATEST",
                "BatchSize": 100,
                "MaximumBatchingWindowInSeconds": self.window,
                "MaximumRetryAttempts": 3,
                "MaximumRecordAgeInSeconds": self.record_age,
                "BisectBatchOnFunctionError": True,
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
                "DestinationConfig": {"OnFailure": {"Destination": queue["QueueArn"]}},
            },
        )
        self.assertEqual(mapping.get("ParallelizationFactor", 1), self.parallelization)
        [group] = pages("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=f"/aws/lambda/{name}")
        self.assertEqual(group["retentionInDays"], 14)
        self.check_the_role(function["Role"].rsplit("/", 1)[1], queue["QueueArn"])
        alarms = pages("cloudwatch", "describe_alarms", "MetricAlarms")
        fields = ("MetricName", "ComparisonOperator", "Threshold", "Period", "EvaluationPeriods")
        self.assertEqual({one["AlarmName"]: tuple(one[field] for field in fields) for one in alarms}, self.alarms)

    def check_the_role(self, role, queue):
        trust = client("iam").get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]["Statement"]
        self.assertEqual([one["Principal"] for one in trust], [{"Service": "lambda.amazonaws.com"}])
        allowed = {}
        for policy in client("iam").list_role_policies(RoleName=role)["PolicyNames"]:
            document = client("iam").get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            for statement in document["Statement"]:
                for action in statement["Action"]:
                    allowed.setdefault(action, []).append(statement["Resource"])
        self.assertIn("kinesis:GetRecords", allowed)
        self.assertIn("logs:PutLogEvents", allowed)
        self.assertIn(queue, json.dumps(allowed["sqs:SendMessage"]))
        self.assertFalse([action for action in allowed if "*" in action])

    def check_bucket(self, versioning, rules):
        bucket, s3 = self.outputs["bucket_name"], client("s3")
        blocked = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        self.assertEqual(set(blocked.values()), {True}, blocked)
        [encryption] = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        self.assertEqual(encryption["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"], "AES256")
        policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
        self.assertIn('"aws:SecureTransport"', policy)
        self.assertEqual(s3.get_bucket_versioning(Bucket=bucket).get("Status"), versioning)
        found = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        moves = [(move["Days"], move["StorageClass"]) for rule in found for move in rule.get("Transitions", [])]
        self.assertEqual(sorted(moves), rules)
        # The policy denies requests without TLS, and the emulator has no TLS.
        s3.delete_bucket_policy(Bucket=bucket)
        self.changed = {bucket: {"as declared", "described"}}

    def check_table(self, keys, indexes, ttl, recovery):
        table = client("dynamodb").describe_table(TableName=self.outputs["table_name"])["Table"]
        self.assertEqual([key["AttributeName"] for key in table["KeySchema"]], keys)
        found = {
            one["IndexName"]: [key["AttributeName"] for key in one["KeySchema"]]
            for one in table.get("GlobalSecondaryIndexes", [])
        }
        self.assertEqual(found, indexes)
        self.assertEqual(table["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST")
        living = client("dynamodb").describe_time_to_live(TableName=table["TableName"])["TimeToLiveDescription"]
        self.assertEqual(living.get("AttributeName"), ttl)
        backups = client("dynamodb").describe_continuous_backups(TableName=table["TableName"])[
            "ContinuousBackupsDescription"
        ]
        state = backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]
        self.assertEqual(state, "ENABLED" if recovery else "DISABLED")

    def functions(self):
        return [self.outputs["function_name"]]

    def prepare(self):
        """Creates what the events need in addition to the pipeline."""

    def warm_up(self):
        """Puts events that the results ignore until each function has run.

        With LATEST, a mapping starts to read some time after it was created, and never reads earlier records. This is
        the same on AWS: see "Polling and stream starting positions" in Lambda's developer guide.
        """

        def answered():
            client("kinesis").put_record(
                StreamName=self.outputs["stream_name"], PartitionKey=WARM_UP, Data=json.dumps(self.warm_up_event())
            )
            time.sleep(0.3)
            return all(self.reported(function) for function in self.functions())

        eventually(answered, "the first run of each function")

    def reported(self, function):
        return [line for line in logged(f"/aws/lambda/{function}") if line.startswith("REPORT RequestId")]

    def put(self):
        arguments = [
            "--stream",
            self.outputs["stream_name"],
            "--file",
            os.path.join(TEMPLATES, self.template, "events.json"),
        ]
        if self.partition_key_field:
            arguments += ["--partition-key-field", self.partition_key_field]
        self.events = template(self.template, "events.json")
        sent = streamctl("put", *arguments)
        self.assertHas(sent, {"end": "complete", "acknowledged": len(self.events), "failed": 0})

    def wait_for(self, look, expected, what):
        """Waits until `look` returns `expected`."""
        found = look()
        deadline = time.monotonic() + PATIENCE
        while found != expected and time.monotonic() < deadline:
            time.sleep(0.1)
            found = look()
        self.assertEqual(found, expected, f"{what}, {PATIENCE} s later")

    def check_the_function(self):
        for function in self.functions():
            [mapping] = streamctl("mappings", function)
            self.assertHas(mapping, {"stream": self.outputs["stream_name"], "state": "Enabled"})
            self.assertRegex(mapping["last_result"], "^OK")
            # One JSON object per line.
            lines = [json.loads(line)["message"] for line in streamctl("logs", function).splitlines()]
            self.assertEqual([line for line in lines if line.startswith("REPORT")], self.reported(function))

    def verify(self):
        checked = self.streamctl("verify", code=5 if self.changed else 0)
        found = {"fault": {}, "caution": {}}
        for resource in checked["resources"]:
            for check in resource["checks"]:
                found.get(check["state"], {}).setdefault(resource["name"], set()).add(check["check"])
        self.assertEqual(found["fault"], self.changed, checked)
        # Only metrics have cautions, because the emulator has no metrics.
        self.assertLessEqual(set().union(*found["caution"].values()), {"metric", "metrics"}, checked)
        [event] = [resource for resource in checked["resources"] if resource["kind"] == "event"]
        self.assertIn("clean-up", [check["check"] for check in event["checks"]])

    def repair(self):
        made = self.streamctl("setup")
        updated = [one for one in made["resources"] if one["result"] != "unchanged"]
        self.assertEqual({one["name"]: one["result"] for one in updated}, dict.fromkeys(self.changed, "updated"))
        planned = self.streamctl("plan")
        self.assertEqual({one["action"] for one in planned["resources"]}, {"none"}, planned)


class Retail(Pipeline, unittest.TestCase):
    template = "retail"
    has_own_caller = True
    partition_key_field = "userId"
    memory, timeout, window = 256, 120, 5
    alarms = {
        "retail-failed-events-dev": ("FailedEvents", "GreaterThanThreshold", 10, 60, 1),
        "retail-event-processor-errors-dev": ("Errors", "GreaterThanThreshold", 5, 300, 2),
        "retail-event-processor-duration-dev": ("Duration", "GreaterThanThreshold", 96000, 300, 2),
        "retail-dead-letters-dev": ("ApproximateNumberOfMessagesVisible", "GreaterThanThreshold", 5, 300, 2),
    }
    scores = collections.defaultdict(
        lambda: 1, {"view": 1, "add_to_cart": 5, "purchase": 10, "wishlist": 3, "share": 2, "review": 8}
    )

    def check_resources(self):
        super().check_resources()
        indexes = {"EventTypeIndex": ["eventType", "eventTimestamp"], "ProductIndex": ["productId", "eventTimestamp"]}
        self.check_table(["userId", "eventTimestamp"], indexes, "ttl", True)
        body = client("cloudwatch").get_dashboard(DashboardName=self.outputs["dashboard_name"])["DashboardBody"]
        widgets = json.dumps(json.loads(body)["widgets"])
        for watched in ("stream_name", "table_name", "function_name"):
            self.assertIn(self.outputs[watched], widgets)

    def warm_up_event(self):
        return {"userId": WARM_UP, "eventType": "view"}

    def prepare(self):
        document = {"Effect": "Allow", "Action": "sqs:SendMessageBatch", "Resource": "*"}
        client("iam").put_role_policy(
            RoleName=self.role(),
            PolicyName=WARM_UP,
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [document]}),
        )

    def role(self):
        function = client("lambda").get_function(FunctionName=self.outputs["function_name"])
        return function["Configuration"]["Role"].rsplit("/", 1)[1]

    def put(self):
        super().put()
        client("kinesis").put_record(
            StreamName=self.outputs["stream_name"], PartitionKey="bad", Data='{"userId":"bad"}'
        )

    def processed(self):
        def expected(event):
            score = self.scores[event["eventType"]]
            level = "high" if score >= 8 else "medium" if score >= 5 else "low"
            return event["userId"], event["timestamp"], event["eventType"], event["productId"], score, level

        def stored():
            names = ("userId", "eventTimestamp", "eventType", "productId", "eventScore", "engagementLevel")
            rows = [[next(iter(item[name].values())) for name in names] for item in items(self.outputs["table_name"])]
            # The fraction distinguishes events of the same millisecond.
            return sorted(
                (u, int(t.split(".")[0]), e, p, int(s), level) for u, t, e, p, s, level in rows if u != WARM_UP
            )

        self.wait_for(stored, sorted(map(expected, self.events)), "the table with every event")

        def dead_letters():
            found = client("sqs").receive_message(QueueUrl=self.outputs["queue_url"], WaitTimeSeconds=1)
            return found.get("Messages")

        [letter] = eventually(dead_letters, "the bad event in the queue")
        self.assertIn("MISSING_FIELD", letter["Body"])
        client("sqs").delete_message(QueueUrl=self.outputs["queue_url"], ReceiptHandle=letter["ReceiptHandle"])
        client("iam").delete_role_policy(RoleName=self.role(), PolicyName=WARM_UP)


class Realtime(Pipeline, unittest.TestCase):
    template = "realtime"
    partition_key_field = "sensorId"
    shards, memory, timeout, window, parallelization, record_age = 2, 512, 60, 5, 2, None
    alarms = {
        "realtime-data-processor-errors": ("Errors", "GreaterThanOrEqualToThreshold", 5, 300, 1),
        "realtime-data-processor-throttles": ("Throttles", "GreaterThanOrEqualToThreshold", 1, 300, 1),
    }

    def check_resources(self):
        super().check_resources()
        self.check_table(["partition_key", "timestamp"], {}, "ttl", False)
        self.check_bucket("Enabled", [(30, "GLACIER"), (120, "DEEP_ARCHIVE")])
        alarms = pages("cloudwatch", "describe_alarms", "MetricAlarms")
        self.assertEqual({action for one in alarms for action in one["AlarmActions"]}, {self.outputs["topic_arn"]})

    def warm_up_event(self):
        return {"sensorId": WARM_UP, "value": 1}

    def processed(self):
        # Maps a reading to the names of its count and its sum in the table.
        names = {reading: (f"{reading}_count", f"{reading}_total") for reading in ("temperature", "humidity")}
        names["value"] = ("count", "total_value")
        expected = collections.Counter()
        for event in self.events:
            for reading in names.keys() & event.keys():
                number, total = names[reading]
                expected[event["sensorId"], number] += 1
                expected[event["sensorId"], total] += decimal.Decimal(str(event[reading]))

        def stored():
            sums = collections.Counter()
            # The table has an item for each period.
            for item in items(self.outputs["table_name"]):
                for name in {name for both in names.values() for name in both} & item.keys():
                    sums[item["partition_key"]["S"], name] += decimal.Decimal(item[name]["N"])
            return {key: value for key, value in sums.items() if key[0] != WARM_UP}

        self.wait_for(stored, expected, "the table with the sums of every sensor")

        def archived():
            lines = [
                json.loads(line)
                for key in objects(self.outputs["bucket_name"], "raw/")
                for line in gzip.decompress(read(self.outputs["bucket_name"], key)).splitlines()
            ]
            return sorted(
                json.dumps(line["data"], sort_keys=True) for line in lines if line["partition_key"] != WARM_UP
            )

        self.wait_for(
            archived, sorted(json.dumps(event, sort_keys=True) for event in self.events), "the archive of every event"
        )


class Concert(Pipeline, unittest.TestCase):
    template = "concert"
    # The emulator does not show shard-level metrics.
    parameters = {"monitoring": "none", "data_processor": "true"}
    memory, timeout, window = 512, 300, 5

    def check_resources(self):
        super().check_resources()
        self.check_bucket(None, [])

    def functions(self):
        return [self.outputs["function_name"], self.outputs["data_function_name"]]

    def warm_up_event(self):
        return {
            "record_id": WARM_UP,
            "source": WARM_UP,
            "data_type": "venues",
            "ingestion_timestamp": "2026-06-01T18:00:00Z",
            "payload": {"venue_id": WARM_UP, "name": WARM_UP},
        }

    def processed(self):
        bucket = self.outputs["bucket_name"]
        # `events` and `concerts` are the same kind of data.
        kinds = [event["data_type"].replace("events", "concerts") for event in self.events]
        wanted = sorted((kind, event["record_id"]) for kind, event in zip(kinds, self.events))

        def raw():
            found = [
                (key.split("/")[1], os.path.basename(key).removesuffix(".json")) for key in objects(bucket, "raw/")
            ]
            return sorted(one for one in found if one[1] != WARM_UP)

        self.wait_for(raw, wanted, "a raw object of every record")

        def processed():
            every = [one for key in objects(bucket, "processed/") for one in json.loads(read(bucket, key))]
            return len([one for one in every if WARM_UP not in json.dumps(one)])

        self.wait_for(processed, len(self.events), "the processed batches with every record")

        names = [event["payload"]["name"] for event in self.events if event["data_type"] == "artists"]

        def mentioned():
            log = logged(f"/aws/lambda/{self.outputs['data_function_name']}")
            return sorted(name for name in names if any(f"Processing artists: {name}" in line for line in log))

        self.wait_for(mentioned, sorted(names), "the log of the second function with every artist")


class Prices(Pipeline, unittest.TestCase):
    """Without the API: its bucket denies a user requests without TLS, and the emulator has no TLS."""

    template = "prices"
    parameters = {"products_api": "false"}
    has_own_caller = True
    partition_key_field = "product_id"
    memory, timeout = 256, 60
    alarms = {
        "price-updater-errors": ("Errors", "GreaterThanOrEqualToThreshold", 5, 300, 1),
        "price-updater-late": ("IteratorAge", "GreaterThanThreshold", 300000, 300, 2),
        "price-updates-dead-letters": ("ApproximateNumberOfMessagesVisible", "GreaterThanThreshold", 5, 300, 2),
    }

    def check_resources(self):
        super().check_resources()
        self.check_table(["id"], {"category-index": ["category"]}, None, False)

    def prepare(self):
        self.products = template("prices", "products.json")
        items = [
            {name: {"N": str(value)} if name == "price" else {"S": value} for name, value in product.items()}
            for product in self.products
        ]
        requests = [{"PutRequest": {"Item": item}} for item in items]
        for start in range(0, len(requests), 25):
            page = {self.outputs["table_name"]: requests[start : start + 25]}
            client("dynamodb").batch_write_item(RequestItems=page)

    def warm_up_event(self):
        return {"product_id": self.products[0]["id"], "price": 1}

    def processed(self):
        prices = {product["id"]: decimal.Decimal(str(product["price"])) for product in self.products}
        # There is one shard and one request, so the last price of each product is stored.
        prices |= {event["product_id"]: decimal.Decimal(str(event["price"])) for event in self.events}

        def stored():
            return {item["id"]["S"]: decimal.Decimal(item["price"]["N"]) for item in items(self.outputs["table_name"])}

        self.wait_for(stored, prices, "the last price of each product")
        names = {item["id"]["S"]: item["name"]["S"] for item in items(self.outputs["table_name"])}
        self.assertEqual(names, {product["id"]: product["name"] for product in self.products})


class Products(Prices):
    """With the API and the images."""

    parameters = {}
    has_own_caller = False
    alarms = Prices.alarms | {
        "products-api-errors": ("5xx", "GreaterThanOrEqualToThreshold", 5, 300, 1),
        "image-processor-errors": ("Errors", "GreaterThanOrEqualToThreshold", 1, 300, 1),
    }

    def check_resources(self):
        super().check_resources()
        self.check_bucket("Enabled", [])

    def request(self, method, path, body=None):
        return request(self.outputs["api_url"], method, path, body)

    def processed(self):
        super().processed()
        status, product = self.request("POST", "/products", '{"name": "Tea", "category": "warm-up", "price": 29.99}')
        self.assertEqual((status, product["price"]), (201, 29.99))
        self.assertEqual(self.request("GET", "/products?category=warm-up"), (200, [product]))
        self.assertEqual(len(self.request("GET", "/products")[1]), len(self.products) + 1)
        self.assertEqual(self.request("DELETE", f"/products/{product['id']}"), (200, product))
        self.assertEqual(self.request("GET", f"/products/{product['id']}")[0], 404)

    def verify(self):
        checked = self.streamctl("verify", "--no-put", code=5)
        found = [
            (resource["name"], check["check"])
            for resource in checked["resources"]
            for check in resource["checks"]
            if check["state"] == "fault"
        ]
        [bucket] = self.changed
        self.assertEqual(found, [(bucket, "as declared"), (bucket, "described")])


class Cart(unittest.TestCase):
    """Tests the way of an event through the API and the function into the stream, and the settings of the delivery. The
    emulator stores a delivery stream, but does not read its source; it invokes no function for an object; and it answers
    OPTIONS itself, without the function."""

    maxDiff = None

    def test_cart(self):
        before = inventory()
        try:
            streamctl("setup", "cart", "--param", "athena=true")
            streamctl("plan", "cart", "--check", "--param", "athena=true")
            self.outputs = streamctl("outputs", "cart", "--param", "athena=true")
            self.submissions()
            self.delivery()
            self.orders()
        finally:
            streamctl("destroy", "cart", "--yes")
        self.assertEqual(inventory(), before)

    def submissions(self):
        def submit(method, body=None, path="/submit"):
            return request(self.outputs["api_url"], method, path, body)

        sent = {"user_id": 7, "product_ids": ["12", "34"], "event": "add_to_cart", "timestamp": "then", "source": "web-app"}
        status, answer = submit("POST", json.dumps(sent))
        self.assertEqual((status, answer["message"]), (200, "Data sent to Kinesis successfully"))
        for method, body, path, expected in (
            ("POST", "{", "/submit", 400),
            ("POST", '{"user_id": "me"}', "/submit", 400),
            ("GET", None, "/submit", 405),
            ("POST", "{}", "/nothing", 404),
        ):
            self.assertEqual(submit(method, body, path)[0], expected, (method, path, body))
        kinesis = client("kinesis")
        stream = {"StreamName": self.outputs["stream_name"], "ShardId": answer["shard_id"]}
        start = kinesis.get_shard_iterator(**stream, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        [record] = kinesis.get_records(ShardIterator=start)["Records"]
        self.assertEqual((record["SequenceNumber"], record["PartitionKey"]), (answer["record_id"], "7"))
        self.assertTrue(record["Data"].endswith(b"}\n"), record["Data"])
        stored = json.loads(record["Data"])
        stored.pop("timestamp")
        renamed = {"client_timestamp": "then", "client_source": "web-app", "source": "api-gateway"}
        kept = {name: sent[name] for name in ("user_id", "product_ids", "event")}
        self.assertEqual(stored, kept | renamed)

    def delivery(self):
        stream = client("firehose").describe_delivery_stream(DeliveryStreamName=self.outputs["delivery_stream_name"])
        [destination] = stream["DeliveryStreamDescription"]["Destinations"]
        s3 = destination["ExtendedS3DestinationDescription"]
        self.assertEqual(s3["BufferingHints"], {"SizeInMBs": 1, "IntervalInSeconds": 60})
        self.assertEqual(s3["BucketARN"], f"arn:aws:s3:::{self.outputs['bucket_name']}")

    def orders(self):
        bucket, database = self.outputs["bucket_name"], self.outputs["database_name"]
        table = client("glue").get_table(DatabaseName=database, Name="orders")["Table"]
        storage = table["StorageDescriptor"]
        self.assertEqual(storage["Location"], f"s3://{bucket}/orders/")
        names = ["user_id", "order_number", "days_since_prior", "products"]
        self.assertEqual([column["Name"] for column in storage["Columns"]], names)
        group = client("athena").get_work_group(WorkGroup=self.outputs["workgroup_name"])["WorkGroup"]
        results = group["Configuration"]["ResultConfiguration"]
        self.assertEqual(results["OutputLocation"], f"s3://{bucket}/athena/")


class Streams(unittest.TestCase):
    """Tests the commands on one stream. They are shown by boto3, and by `describe`."""

    maxDiff = None
    stream = "levers"

    def test_stream(self):
        before = inventory()
        try:
            self.create()
            self.tail()
            self.settings()
            self.reshard()
            self.consumer()
            self.policies()
            self.absent()
        finally:
            streamctl("delete", self.stream, "--force", "--yes")
        self.assertNotIn(self.stream, client("kinesis").list_streams()["StreamNames"])
        self.delete_policies(before)
        self.assertEqual(inventory(), before)

    def summary(self):
        return client("kinesis").describe_stream_summary(StreamName=self.stream)["StreamDescriptionSummary"]

    def change(self, *arguments, dry_run=True):
        """Runs a command that changes the stream: first as a dry run, then twice."""
        if dry_run:
            shown = self.summary()
            self.assertFalse(streamctl(*arguments, "--dry-run")["changed"], arguments)
            self.assertEqual(self.summary(), shown, arguments)
        self.assertTrue(streamctl(*arguments)["changed"], arguments)
        self.assertFalse(streamctl(*arguments)["changed"], arguments)

    def create(self):
        streamctl("create", self.stream, "--shards", "2", "--retention", "48h", "--tag", "team=a b")
        found = self.summary()
        self.assertEqual((found["OpenShardCount"], found["RetentionPeriodHours"]), (2, 48))
        [listed] = [one for one in streamctl("list") if one["name"] == self.stream]
        self.assertEqual(listed["status"], "ACTIVE")
        described = streamctl("describe", self.stream)
        self.assertEqual((described["open_shards"], described["tags"]), (2, {"team": "a b"}))

    def tail(self):
        """--no-follow shows all that was there: with pauses between records, and with more than a page of each shard."""
        put, count = client("kinesis").put_records, 0
        for batches, size, pause in [(1, 1, 2), (12, 200, 0), (1, 1, 2), (6, 300_000, 0)]:
            for _ in range(batches):
                records = [
                    {"PartitionKey": str(number), "Data": str(number).ljust(size)}
                    for number in range(count, count + (10 if size > 1000 else 500))
                ]
                self.assertEqual(put(StreamName=self.stream, Records=records)["FailedRecordCount"], 0)
                count += len(records)
            time.sleep(pause)
        for position in (["--from", "trim"], ["--from", "10m"], ["--where", "@-10m:end"]):
            stop = [] if position[0] == "--where" else ["--no-follow"]
            shown = [json.loads(line) for line in streamctl("tail", self.stream, *position, *stop).splitlines()]
            self.assertEqual(sorted(int(one["data"]) for one in shown), list(range(count)), position)
        last = streamctl("tail", self.stream, "--from", "-1", "--no-follow").splitlines()
        self.assertEqual(len(last), 2, "the last record of each shard")

    def settings(self):
        self.change("retention", self.stream, "72h")
        self.assertEqual(self.summary()["RetentionPeriodHours"], 72)
        self.change("retention", self.stream, "24h", "--yes")
        self.change("tag", "add", self.stream, "env=prod")
        self.change("tag", "remove", self.stream, "team")
        tags = client("kinesis").list_tags_for_stream(StreamName=self.stream)["Tags"]
        self.assertEqual(tags, [{"Key": "env", "Value": "prod"}])
        self.change("encrypt", self.stream)
        self.assertEqual(self.summary()["KeyId"], "alias/aws/kinesis")
        key = client("kms").create_key()["KeyMetadata"]["Arn"]
        self.change("encrypt", self.stream, "--key", key)
        self.assertEqual(self.summary()["KeyId"], key)
        self.assertIn(key, json.dumps(streamctl("policy", self.stream, "--for", "producer")))
        client("kms").disable_key(KeyId=key)
        self.change("encrypt", self.stream, "--key", "none")
        streamctl("encrypt", self.stream, "--key", key, code=1)
        streamctl("encrypt", self.stream, "--key", "alias/missing", code=1)
        self.assertEqual(self.summary()["EncryptionType"], "NONE")

    def reshard(self):
        self.assertEqual(streamctl("reshard", self.stream, "--to", "5", "--dry-run")["shards_after"], 5)
        self.assertTrue(streamctl("reshard", self.stream, "--to", "5")["changed"])
        self.assertEqual(self.summary()["OpenShardCount"], 5)
        streamctl("reshard", self.stream, "--split", "0")
        self.assertEqual(self.summary()["OpenShardCount"], 6)
        streamctl("reshard", self.stream, "--merge", "5", "6")
        self.assertEqual(self.summary()["OpenShardCount"], 5)

    def consumer(self):
        made = streamctl("consumer", "register", self.stream, "app")
        self.assertEqual([one["arn"] for one in streamctl("consumer", "list", self.stream)], [made["arn"]])
        self.assertEqual(streamctl("consumer", "describe", self.stream, "app")["status"], "ACTIVE")
        streamctl("consumer", "deregister", self.stream, "app", "--yes")
        self.assertEqual(streamctl("consumer", "list", self.stream), "[]\n")

    def policies(self):
        allow = ("policy", "allow", self.stream, "--account", "123456789012", "--for", "consumer")
        self.change(*allow)
        shared = client("kinesis").get_resource_policy(ResourceARN=self.summary()["StreamARN"])["Policy"]
        self.assertEqual(json.loads(shared), streamctl("policy", "show", self.stream))
        self.assertTrue(streamctl("policy", "delete", self.stream, "--yes")["changed"])
        self.assertEqual(streamctl("policy", "show", self.stream), "null\n")
        # A user with this policy may put, and not read: the emulator enforces it.
        producer = create_user("producer", streamctl("policy", self.stream, "--for", "producer"))
        put = ("put", self.stream, "--file", os.path.join(TEMPLATES, "retail", "events.json"))
        self.assertEqual(streamctl(*put, caller=producer)["failed"], 0)
        streamctl("tail", self.stream, "--from", "trim", "-n", "1", code=4, caller=producer)
        make = ("policy", "create", self.stream, "--for", "consumer")
        self.assertEqual([streamctl(*make)["result"] for _ in range(2)], ["created", "unchanged"])
        streamctl("policy", "attach", self.stream, "--for", "consumer", "--to", "user/producer")
        # The emulator does not determine the stream of GetRecords, so it cannot show that the user may read now.
        attached = pages("iam", "list_attached_user_policies", "AttachedPolicies", UserName="producer")
        self.assertIn("streamctl-levers-consumer-us-east-1", [one["PolicyName"] for one in attached])

    def absent(self):
        """What the emulator does not have is said, and is not a success."""
        streamctl("mode", self.stream, "on-demand", code=1)
        streamctl("record-size", self.stream, "2MiB", code=1)
        streamctl("account", "show", code=1)

    def delete_policies(self, before):
        iam = client("iam")
        for policy in pages("iam", "list_policies", "Policies", Scope="Local"):
            if policy["PolicyName"] not in before["policies"]:
                for user in pages("iam", "list_entities_for_policy", "PolicyUsers", PolicyArn=policy["Arn"]):
                    iam.detach_user_policy(UserName=user["UserName"], PolicyArn=policy["Arn"])
                iam.delete_policy(PolicyArn=policy["Arn"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
