"""The commands of five guides about Kinesis pipelines, as their readers type them, with version 2 of the AWS CLI.

Run by tests/conformance/guides, which starts the local cloud and sets the environment. The guides run side by side,
because each start of the AWS CLI takes half a second of CPU time or more. Commands that do not depend on one another run
side by side too.
"""

import base64
import concurrent.futures
import datetime
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
import zipfile

STREAMCTL, AWS = sys.argv[1:3]
# Versions before 2.13 do not read AWS_ENDPOINT_URL.
ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
RAW = ("--cli-binary-format", "raw-in-base64-out")
ACCOUNT = "000000000000"
REGION = os.environ.get("AWS_REGION") or os.environ["AWS_DEFAULT_REGION"]


class Failed(AssertionError):
    """A command that did not do what its guide says."""


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise Failed(f"{' '.join(words)}\nended with {done.returncode}: {done.stderr}{done.stdout}")
    return done.stdout


def aws(*words):
    """Runs a command of the AWS CLI. Returns its output, parsed if it is JSON."""
    output = run(AWS, *words, "--endpoint-url", ENDPOINT)
    try:
        return json.loads(output)
    except ValueError:
        return output.strip()


def side_by_side(*calls):
    """Runs `calls`. Returns their results in order."""
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def until(what, look):
    """Repeats `look` until it returns a true value. Returns it."""
    end = time.monotonic() + 60
    seen = None
    while time.monotonic() < end:
        seen = look()
        if seen:
            return seen
        time.sleep(0.5)
    raise Failed(f"{what} did not happen")


def check(condition, seen):
    if not condition:
        raise Failed(json.dumps(seen, indent=1, default=str))


def ago(minutes):
    time_then = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=minutes)
    return time_then.strftime("%Y-%m-%dT%H:%M:%SZ")


def statistics(namespace, metric, *words):
    """The sum of a metric over the last minutes."""
    answer = aws("cloudwatch", "get-metric-statistics", "--namespace", namespace, "--metric-name", metric, *words,
                 "--start-time", ago(30), "--end-time", ago(-1), "--period", "300", "--statistics", "Sum")
    return sum(point["Sum"] for point in answer["Datapoints"])


def put(stream, key, data):
    return aws("kinesis", "put-record", "--stream-name", stream, "--partition-key", key, "--data", data, *RAW)


def outputs(template):
    """Sets a pipeline up. Returns its outputs."""
    run(STREAMCTL, "setup", template, "--quiet")
    answer = json.loads(run(STREAMCTL, "outputs", template, "-o", "json"))
    return answer.get("outputs", answer)


def function_zip():
    """The code of a function that prints the data of its records."""
    bootstrap = f"""#!{sys.executable}
import base64, json, os, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(api + "next") as event:
        request = event.headers["Lambda-Runtime-Aws-Request-Id"]
        records = json.load(event).get("Records", [])
    for record in records:
        print("got", base64.b64decode(record["kinesis"]["data"]).decode(), flush=True)
    answer = json.dumps({{"records": len(records)}}).encode()
    urllib.request.urlopen(api + request + "/response", data=answer).close()
"""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, bootstrap)
    return code.getvalue()


class Guides(unittest.TestCase):
    def test_all(self):
        guides = [stream, function, retail, realtime, prices]
        with concurrent.futures.ThreadPoolExecutor(len(guides)) as pool:
            running = {pool.submit(guide): guide.__name__ for guide in guides}
            for future in concurrent.futures.as_completed(running):
                with self.subTest(guide=running[future]):
                    future.result()


def stream():
    """Ingestion of API data: a stream, its settings, records in and out."""
    name = "concert-api-stream"
    named = ("--stream-name", name)

    def kinesis(*words):
        return aws("kinesis", *words)

    def settled():
        kinesis("wait", "stream-exists", *named)

    kinesis("create-stream", *named, "--shard-count", "1")
    settled()
    kinesis("enable-enhanced-monitoring", *named, "--shard-level-metrics", "IncomingBytes", "IncomingRecords",
            "OutgoingBytes", "OutgoingRecords", "WriteProvisionedThroughputExceeded",
            "ReadProvisionedThroughputExceeded", "IteratorAgeMilliseconds")
    settled()
    kinesis("start-stream-encryption", *named, "--encryption-type", "KMS", "--key-id", "alias/aws/kinesis")
    settled()
    kinesis("add-tags-to-stream", *named, "--tags", "Project=ConcertDataPlatform,Environment=development")
    described, summary, tags, listed = side_by_side(
        lambda: kinesis("describe-stream", *named)["StreamDescription"],
        lambda: kinesis("describe-stream-summary", *named)["StreamDescriptionSummary"],
        lambda: kinesis("list-tags-for-stream", *named)["Tags"],
        lambda: kinesis("list-streams")["StreamNames"],
    )
    check(described["StreamStatus"] == "ACTIVE" and described["EncryptionType"] == "KMS", described)
    check(len(described["EnhancedMonitoring"][0]["ShardLevelMetrics"]) == 7, described)
    check(summary["OpenShardCount"] == 1 and summary["RetentionPeriodHours"] == 24, summary)
    check({tag["Key"]: tag["Value"] for tag in tags}["Project"] == "ConcertDataPlatform", tags)
    check(name in listed, listed)

    put_one = put(name, "test", '{"test": true}')
    check(put_one["ShardId"] == "shardId-000000000000", put_one)
    records = [{"Data": json.dumps({"artist_id": n}), "PartitionKey": f"artist_{n}"} for n in range(3)]
    put_three = kinesis("put-records", *named, "--records", json.dumps(records), *RAW)
    check(put_three["FailedRecordCount"] == 0 and len(put_three["Records"]) == 3, put_three)
    iterator = kinesis("get-shard-iterator", *named, "--shard-id", "shardId-000000000000",
                       "--shard-iterator-type", "TRIM_HORIZON", "--query", "ShardIterator", "--output", "text")
    read = kinesis("get-records", "--shard-iterator", iterator)["Records"]
    check([base64.b64decode(record["Data"]).decode() for record in read]
          == ['{"test": true}'] + [record["Data"] for record in records], read)

    kinesis("update-shard-count", *named, "--target-shard-count", "2", "--scaling-type", "UNIFORM_SCALING")
    settled()
    kinesis("increase-stream-retention-period", *named, "--retention-period-hours", "48")
    settled()
    kinesis("decrease-stream-retention-period", *named, "--retention-period-hours", "24")
    settled()
    arn = described["StreamARN"]
    kinesis("update-stream-mode", "--stream-arn", arn, "--stream-mode-details", "StreamMode=ON_DEMAND")
    settled()
    consumer = kinesis("register-stream-consumer", "--stream-arn", arn, "--consumer-name", "analytics")["Consumer"]
    shards, summary, consumers, records = side_by_side(
        lambda: kinesis("list-shards", *named)["Shards"],
        lambda: kinesis("describe-stream-summary", *named)["StreamDescriptionSummary"],
        lambda: kinesis("list-stream-consumers", "--stream-arn", arn)["Consumers"],
        lambda: statistics("AWS/Kinesis", "IncomingRecords", "--dimensions", f"Name=StreamName,Value={name}"),
    )
    check(len([shard for shard in shards if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]) == 2, shards)
    check(summary["StreamModeDetails"]["StreamMode"] == "ON_DEMAND", summary)
    check([one["ConsumerARN"] for one in consumers] == [consumer["ConsumerARN"]], consumers)
    check(records == 4, records)
    kinesis("delete-stream", *named, "--enforce-consumer-deletion")
    kinesis("wait", "stream-not-exists", *named)


def function():
    """A function of one's own as a consumer."""
    name, stream_name = "guide-consumer", "guide-stream"
    role = f"arn:aws:iam::{ACCOUNT}:role/{name}"
    trust = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["kinesis:*", "logs:*"], "Resource": "*"}]}
    side_by_side(
        lambda: aws("kinesis", "create-stream", "--stream-name", stream_name, "--shard-count", "1"),
        lambda: aws("iam", "create-role", "--role-name", name, "--assume-role-policy-document", json.dumps(trust)),
    )
    aws("iam", "put-role-policy", "--role-name", name, "--policy-name", "all", "--policy-document", json.dumps(policy))
    with tempfile.TemporaryDirectory() as work:
        code = os.path.join(work, "function.zip")
        with open(code, "wb") as file:
            file.write(function_zip())
        made = aws("lambda", "create-function", "--function-name", name, "--runtime", "provided.al2023",
                   "--handler", "bootstrap", "--role", role, "--zip-file", f"fileb://{code}")
        check(made["FunctionName"] == name, made)
        aws("kinesis", "wait", "stream-exists", "--stream-name", stream_name)
        source = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stream_name}"
        aws("lambda", "wait", "function-active", "--function-name", name)
        mapping = aws("lambda", "create-event-source-mapping", "--function-name", name, "--event-source-arn", source,
                      "--starting-position", "TRIM_HORIZON", "--batch-size", "100")
        put(stream_name, "k", "hello from the guide")
        answer = os.path.join(work, "answer.json")
        invoked = aws("lambda", "invoke", "--function-name", name, "--payload", '{"Records": []}', *RAW, answer)
        with open(answer, encoding="utf-8") as file:
            returned = json.load(file)
    check(invoked["StatusCode"] == 200 and returned == {"records": 0}, (invoked, returned))
    tail = ("logs", "tail", f"/aws/lambda/{name}", "--since", "10m")
    until("the record in the log", lambda: "got hello from the guide" in aws(*tail))
    state = aws("lambda", "get-event-source-mapping", "--uuid", mapping["UUID"])
    check(state["State"] == "Enabled", state)
    check(statistics("AWS/Lambda", "Invocations", "--dimensions", f"Name=FunctionName,Value={name}") >= 2, name)
    aws("lambda", "delete-event-source-mapping", "--uuid", mapping["UUID"])


def retail():
    """Scored customer events."""
    made = outputs("retail")
    stream_name, table = made["stream_name"], made["table_name"]
    now_ms = int(time.time() * 1000)
    event = {"userId": "guide-user", "eventType": "purchase", "productId": "P0001", "timestamp": now_ms}
    side_by_side(
        lambda: put(stream_name, "guide-user", json.dumps(event)),
        lambda: put(stream_name, "guide-user", "not JSON"),
    )
    items = until("the item", lambda: aws("dynamodb", "scan", "--table-name", table)["Items"])
    check(items[0]["eventScore"] == {"N": "10"} and len(items) == 1, items)
    # The timestamp has a fraction.
    values = {":u": {"S": "guide-user"}, ":from": {"N": str(now_ms)}, ":to": {"N": f"{now_ms}.9999"}}
    until("the metrics", lambda: statistics("RetailEventProcessing", "FailedEvents"))
    found, processed, failed, alarms, messages, log, mappings = side_by_side(
        lambda: aws("dynamodb", "query", "--table-name", table,
                    "--key-condition-expression", "userId = :u AND eventTimestamp BETWEEN :from AND :to",
                    "--expression-attribute-values", json.dumps(values))["Count"],
        lambda: statistics("RetailEventProcessing", "ProcessedEvents"),
        lambda: statistics("RetailEventProcessing", "FailedEvents", "--dimensions", "Name=Environment,Value=dev"),
        lambda: aws("cloudwatch", "describe-alarms", "--query", "MetricAlarms[].AlarmName"),
        lambda: aws("sqs", "receive-message", "--queue-url", made["queue_url"], "--wait-time-seconds", "5"),
        lambda: aws("logs", "tail", made["log_group"], "--since", "10m"),
        lambda: aws("lambda", "list-event-source-mappings", "--function-name", made["function_name"]),
    )
    check(found == 1, found)
    check((processed, failed) == (1, 1), (processed, failed))
    check(any("retail" in alarm for alarm in alarms), alarms)
    check(json.loads(messages["Messages"][0]["Body"])["errorType"] == "JSON_DECODE_ERROR", messages)
    check("REPORT RequestId" in log, log)
    check(mappings["EventSourceMappings"][0]["State"] == "Enabled", mappings)


def realtime():
    """Sensor readings: archive, aggregates, alarms."""
    made = outputs("realtime")
    stream_name, table, bucket = made["stream_name"], made["table_name"], made["bucket_name"]
    side_by_side(*(
        lambda value=value: put(stream_name, "sensor-1", json.dumps({"sensorId": "sensor-1", "temperature": value}))
        for value in (20, "21.5")
    ))

    def counted():
        items = aws("dynamodb", "scan", "--table-name", table)["Items"]
        return sum(int(item["temperature_count"]["N"]) for item in items) == 2

    until("the aggregates", counted)
    listed, alarms, subscribed, log = side_by_side(
        lambda: aws("s3", "ls", f"s3://{bucket}", "--recursive"),
        lambda: aws("cloudwatch", "describe-alarms", "--alarm-name-prefix", "realtime-data-processor"),
        lambda: aws("sns", "subscribe", "--topic-arn", made["topic_arn"], "--protocol", "email",
                    "--notification-endpoint", "me@example.com"),
        lambda: aws("logs", "tail", f"/aws/lambda/{made['function_name']}"),
    )
    check("raw/" in listed and ".ndjson.gz" in listed, listed)
    check(len(alarms["MetricAlarms"]) == 2, alarms)
    check(subscribed["SubscriptionArn"] == "pending confirmation", subscribed)
    check("REPORT RequestId" in log, log)


def prices():
    """Product price updates."""
    made = outputs("prices")
    stream_name = made["stream_name"]
    item = {"id": {"S": "guide-1"}, "category": {"S": "lamps"}, "name": {"S": "Lamp"}, "price": {"N": "10"}}
    aws("dynamodb", "put-item", "--table-name", "products", "--item", json.dumps(item))
    put(stream_name, "guide-1", json.dumps({"product_id": "guide-1", "price": 29.99}))
    get = ("dynamodb", "get-item", "--table-name", "products", "--key", json.dumps({"id": {"S": "guide-1"}}))
    until("the price", lambda: aws(*get)["Item"]["price"] == {"N": "29.99"})
    found = aws("dynamodb", "query", "--table-name", "products", "--index-name", "category-index",
                "--key-condition-expression", "category = :c",
                "--expression-attribute-values", json.dumps({":c": {"S": "lamps"}}))
    check(found["Count"] == 1, found)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
