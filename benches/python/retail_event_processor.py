"""The bundled `retail-event-processor` in Python with boto3. `benches/handlers.rs` compares the two.

Run as a Lambda bootstrap: takes invocations from the Runtime API that AWS_LAMBDA_RUNTIME_API names, as AWS's own
runtime client does. Written as a careful Python developer would: clients made once, batch writes, no needless copies.
"""

import base64
import hashlib
import http.client
import json
import os
import time
from decimal import Decimal

import boto3
from boto3.dynamodb.types import TypeSerializer
from botocore.config import Config

TABLE = os.environ["TABLE_NAME"]
ENVIRONMENT = os.environ.get("ENVIRONMENT", "dev")
TTL_SECONDS = int(os.environ.get("TTL_DAYS", "30")) * 86400
FUNCTION = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "retail")
SCORES = {"view": 1, "add_to_cart": 5, "purchase": 10, "wishlist": 3, "share": 2, "review": 8}
VERBS = {
    "view": "viewed",
    "add_to_cart": "added to cart",
    "purchase": "purchased",
    "wishlist": "added to wishlist",
    "share": "shared",
    "review": "reviewed",
}
dynamodb = boto3.client("dynamodb", config=Config(retries={"mode": "standard", "max_attempts": 5}))
serialize = TypeSerializer().serialize


def item_of(record, now_ms):
    kinesis = record["kinesis"]
    text = base64.b64decode(kinesis["data"])
    event = json.loads(text, parse_float=Decimal)
    user, kind = event["userId"], event["eventType"]
    if not isinstance(user, str) or not isinstance(kind, str):
        raise ValueError("userId and eventType must be strings")
    product = event.get("productId", "unknown")
    at_ms = int(event.get("timestamp") or kinesis["approximateArrivalTimestamp"] * 1000)
    fraction = int.from_bytes(hashlib.sha256(record["eventID"].encode()).digest()[:8], "big")
    score = SCORES.get(kind, 1)
    item = {
        "userId": user,
        "eventTimestamp": Decimal(f"{at_ms}.{fraction:020d}"),
        "eventType": kind,
        "productId": product,
        "eventScore": score,
        "insight": f"User {user} {VERBS.get(kind, 'interacted with')} product {product}",
        "engagementLevel": "high" if score >= 8 else "medium" if score >= 5 else "low",
        "processedAt": now_ms,
        "recordId": record["eventID"],
        "processingLatency": now_ms - at_ms,
        "originalEvent": text.decode(),
        "ttl": at_ms // 1000 + TTL_SECONDS,
    }
    if "sessionId" in event:
        item["sessionId"] = event["sessionId"]
    return {name: serialize(value) for name, value in item.items()}


def write(items):
    for start in range(0, len(items), 25):
        requests = {TABLE: [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]}
        while requests:
            requests = dynamodb.batch_write_item(RequestItems=requests).get("UnprocessedItems")


def handler(event):
    began = time.time()
    now_ms = int(began * 1000)
    items, failures = [], []
    for record in event["Records"]:
        try:
            items.append(item_of(record, now_ms))
        except (ValueError, KeyError):
            failures.append({"itemIdentifier": record["kinesis"]["sequenceNumber"]})
    write(items)
    total, failed = len(event["Records"]), len(failures)
    metrics = {"ProcessedEvents": total - failed, "FailedEvents": failed, "BatchSize": total}
    directive = {
        "Namespace": "RetailEventProcessing",
        "Dimensions": [["Environment"], ["Environment", "FunctionName"]],
        "Metrics": [{"Name": name, "Unit": "Count"} for name in metrics],
    }
    aws = {"Timestamp": now_ms, "CloudWatchMetrics": [directive]}
    print(json.dumps({"_aws": aws, "Environment": ENVIRONMENT, "FunctionName": FUNCTION, **metrics}), flush=True)
    return {"batchItemFailures": failures}


def main():
    api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        api.request("GET", "/2018-06-01/runtime/invocation/next")
        answer = api.getresponse()
        event = json.loads(answer.read())
        request_id = answer.headers["Lambda-Runtime-Aws-Request-Id"]
        body = json.dumps(handler(event))
        api.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/response", body)
        api.getresponse().read()


main()
