"""Tests S3 on the local cloud with boto3 and the AWS CLI, clients that are independent of streamctl.

Run by tests/conformance/run, which starts the local cloud and sets the environment. The tests assert what AWS documents.
"""

import base64
import datetime
import hashlib
import io
import json
import os
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request
import uuid

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

CONFIG = Config(
    retries={"max_attempts": 0},
    s3={"addressing_style": "path"},
    signature_version="s3v4",
    parameter_validation=False,
)
s3 = boto3.client("s3", config=CONFIG)
REGION = s3.meta.region_name
PART = 5 * 1024 * 1024


def code(call, **kwargs):
    """Returns the error code of `call`, which must fail."""
    try:
        call(**kwargs)
    except ClientError as error:
        return error.response["Error"]["Code"]
    raise AssertionError(f"{call} succeeded")


def create(name, **configuration):
    if REGION != "us-east-1":
        configuration["LocationConstraint"] = REGION
    return s3.create_bucket(Bucket=name, CreateBucketConfiguration=configuration)


class Bucket:
    """A bucket for one test. It is emptied and deleted afterwards."""

    def __init__(self, **configuration):
        self.name = f"conformance-{uuid.uuid4().hex[:12]}"
        self.configuration = configuration

    def __enter__(self):
        create(self.name, **self.configuration)
        return self.name

    def __exit__(self, *_):
        boto3.resource("s3", config=CONFIG).Bucket(self.name).object_versions.delete()
        s3.delete_bucket(Bucket=self.name)


def body(bucket, key, **kwargs):
    return s3.get_object(Bucket=bucket, Key=key, **kwargs)["Body"].read()


class Bytes(unittest.TestCase):
    def test_documents_are_stored_as_they_are(self):
        with Bucket() as b:
            for data in [b"<a/>", b'<?xml version="1.0"?><Tagging/>\n', b'{"Key": "x"}', b"Action=x", b""]:
                s3.put_object(Bucket=b, Key="k", Body=data)
                self.assertEqual(body(b, "k"), data)
                upload = s3.create_multipart_upload(Bucket=b, Key="parts")["UploadId"]
                part = s3.upload_part(Bucket=b, Key="parts", UploadId=upload, PartNumber=1, Body=data)
                parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
                s3.complete_multipart_upload(Bucket=b, Key="parts", UploadId=upload, MultipartUpload=parts)
                self.assertEqual(body(b, "parts"), data)

    def test_ranges(self):
        with Bucket() as b:
            s3.put_object(Bucket=b, Key="k", Body=b"0123456789")
            self.assertEqual(body(b, "k", Range="bytes=2-4"), b"234")
            self.assertEqual(body(b, "k", Range="bytes=7-"), b"789")
            self.assertEqual(body(b, "k", Range="bytes=-3"), b"789")
            self.assertEqual(code(s3.get_object, Bucket=b, Key="k", Range="bytes=10-"), "InvalidRange")

    def test_checksums_are_returned_and_verified(self):
        with Bucket() as b:
            for algorithm in ["CRC32", "SHA1", "SHA256"]:
                put = s3.put_object(Bucket=b, Key="k", Body=b"123456789", ChecksumAlgorithm=algorithm)
                self.assertIn(f"Checksum{algorithm}", put)
                head = s3.head_object(Bucket=b, Key="k", ChecksumMode="ENABLED")
                self.assertEqual(head[f"Checksum{algorithm}"], put[f"Checksum{algorithm}"])
            wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
            self.assertEqual(code(s3.put_object, Bucket=b, Key="k", Body=b"1", ChecksumSHA256=wrong), "BadDigest")
            attributes = s3.get_object_attributes(
                Bucket=b, Key="k", ObjectAttributes=["ETag", "Checksum", "ObjectSize", "StorageClass"]
            )
            self.assertEqual(attributes["ObjectSize"], 9)
            self.assertEqual(attributes["StorageClass"], "STANDARD")

    def test_conditions(self):
        with Bucket() as b:
            etag = s3.put_object(Bucket=b, Key="k", Body=b"x", IfNoneMatch="*")["ETag"]
            self.assertEqual(code(s3.put_object, Bucket=b, Key="k", Body=b"y", IfNoneMatch="*"), "PreconditionFailed")
            self.assertEqual(code(s3.get_object, Bucket=b, Key="k", IfNoneMatch=etag), "304")
            self.assertEqual(code(s3.get_object, Bucket=b, Key="k", IfMatch='"x"'), "PreconditionFailed")
            s3.put_object(Bucket=b, Key="k", Body=b"y", IfMatch=etag)


class Listing(unittest.TestCase):
    def test_prefixes_are_listed_once(self):
        with Bucket() as b:
            for at in range(25):
                s3.put_object(Bucket=b, Key=f"d{at % 3}/ü {at}", Body=b"")
            for operation in ["list_objects", "list_objects_v2", "list_object_versions"]:
                pages = s3.get_paginator(operation).paginate(Bucket=b, Delimiter="/", PaginationConfig={"PageSize": 1})
                found = [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])]
                self.assertEqual(found, ["d0/", "d1/", "d2/"], operation)
                pages = s3.get_paginator(operation).paginate(Bucket=b, Prefix="d1/", PaginationConfig={"PageSize": 2})
                field = "Versions" if operation == "list_object_versions" else "Contents"
                keys = [o["Key"] for page in pages for o in page.get(field, [])]
                self.assertEqual(keys, sorted(f"d1/ü {at}" for at in range(25) if at % 3 == 1), operation)

    def test_deletions(self):
        with Bucket() as b:
            for at in range(3):
                s3.put_object(Bucket=b, Key=f"k{at}", Body=b"")
            too_many = [{"Key": f"k{at}"} for at in range(1001)]
            self.assertEqual(code(s3.delete_objects, Bucket=b, Delete={"Objects": too_many}), "MalformedXML")
            keys = [{"Key": f"k{at}"} for at in range(3)]
            self.assertEqual(len(s3.delete_objects(Bucket=b, Delete={"Objects": keys[:2]})["Deleted"]), 2)
            self.assertNotIn("Deleted", s3.delete_objects(Bucket=b, Delete={"Objects": keys, "Quiet": True}))

    def test_buckets(self):
        with Bucket() as first, Bucket() as second:
            pages = s3.get_paginator("list_buckets").paginate(Prefix="conformance-", PaginationConfig={"PageSize": 1})
            names = [bucket["Name"] for page in pages for bucket in page["Buckets"]]
            self.assertTrue({first, second} <= set(names))


class Copies(unittest.TestCase):
    def test_metadata_is_copied_or_replaced(self):
        with Bucket() as b:
            s3.put_object(Bucket=b, Key="a b", Body=b"x", ContentType="text/csv", Metadata={"who": "me"}, Tagging="a=1")
            source = {"Bucket": b, "Key": "a b"}
            s3.copy_object(Bucket=b, Key="copy", CopySource=source)
            self.assertEqual(s3.head_object(Bucket=b, Key="copy")["Metadata"], {"who": "me"})
            s3.copy_object(
                Bucket=b,
                Key="copy",
                CopySource=source,
                MetadataDirective="REPLACE",
                ContentType="text/plain",
                Metadata={"to": "you"},
            )
            head = s3.head_object(Bucket=b, Key="copy")
            self.assertEqual((head["ContentType"], head["Metadata"]), ("text/plain", {"to": "you"}))
            tags = s3.get_object_tagging(Bucket=b, Key="copy")["TagSet"]
            self.assertEqual(tags, [{"Key": "a", "Value": "1"}])
            self.assertEqual(code(s3.copy_object, Bucket=b, Key="a b", CopySource=source), "InvalidRequest")


class Uploads(unittest.TestCase):
    def test_headers_and_tags_are_kept(self):
        with Bucket() as b:
            upload = s3.create_multipart_upload(
                Bucket=b, Key="k", ContentType="text/csv", CacheControl="no-store", Metadata={"a": "1"}, Tagging="t=1"
            )["UploadId"]
            parts = []
            for number, data in [(1, b"a" * PART), (2, b"end")]:
                part = s3.upload_part(Bucket=b, Key="k", UploadId=upload, PartNumber=number, Body=data)
                parts.append({"PartNumber": number, "ETag": part["ETag"]})
            made = s3.complete_multipart_upload(Bucket=b, Key="k", UploadId=upload, MultipartUpload={"Parts": parts})
            md5s = hashlib.md5(b"a" * PART).digest() + hashlib.md5(b"end").digest()
            self.assertEqual(made["ETag"], f'"{hashlib.md5(md5s).hexdigest()}-2"')
            head = s3.head_object(Bucket=b, Key="k")
            self.assertEqual((head["ContentType"], head["CacheControl"]), ("text/csv", "no-store"))
            self.assertEqual(head["Metadata"], {"a": "1"})
            self.assertEqual(len(s3.get_object_tagging(Bucket=b, Key="k")["TagSet"]), 1)

    def test_the_transfer_manager(self):
        with Bucket() as b:
            data = os.urandom(12 * 1024 * 1024)
            transfer = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
            s3.upload_fileobj(io.BytesIO(data), b, "k", Config=transfer)
            got = io.BytesIO()
            s3.download_fileobj(b, "k", got, Config=transfer)
            self.assertTrue(got.getvalue() == data)
            s3.copy({"Bucket": b, "Key": "k"}, b, "copy", Config=transfer)
            self.assertTrue(body(b, "copy") == data)


class Urls(unittest.TestCase):
    def test_presigned_urls_expire(self):
        with Bucket() as b:
            s3.put_object(Bucket=b, Key="k", Body=b"x")
            url = s3.generate_presigned_url("get_object", Params={"Bucket": b, "Key": "k"}, ExpiresIn=1)
            self.assertEqual(urllib.request.urlopen(url).read(), b"x")
            time.sleep(2.1)
            with self.assertRaises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(url)
            self.assertEqual(refused.exception.code, 403)
            self.assertIn(b"<Message>Request has expired</Message>", refused.exception.read())
            url = s3.generate_presigned_url("put_object", Params={"Bucket": b, "Key": "up"}, ExpiresIn=60)
            urllib.request.urlopen(urllib.request.Request(url, data=b"<up/>", method="PUT"))
            self.assertEqual(body(b, "up"), b"<up/>")


class Settings(unittest.TestCase):
    def test_a_new_bucket(self):
        with Bucket(Tags=[{"Key": "made-by", "Value": "test"}]) as b:
            self.assertEqual(s3.get_bucket_tagging(Bucket=b)["TagSet"], [{"Key": "made-by", "Value": "test"}])
            rules = s3.get_bucket_encryption(Bucket=b)["ServerSideEncryptionConfiguration"]["Rules"]
            self.assertEqual(rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"], "AES256")
            self.assertEqual(s3.put_object(Bucket=b, Key="k", Body=b"")["ServerSideEncryption"], "AES256")
            for acl in [s3.get_bucket_acl(Bucket=b), s3.get_object_acl(Bucket=b, Key="k")]:
                self.assertEqual([g["Permission"] for g in acl["Grants"]], ["FULL_CONTROL"])
                self.assertEqual(acl["Grants"][0]["Grantee"]["ID"], acl["Owner"]["ID"])
            self.assertEqual(code(s3.put_bucket_acl, Bucket=b, ACL="public-read"), "AccessControlListNotSupported")
            self.assertNotIn("Status", s3.get_bucket_versioning(Bucket=b))

    def test_documents_are_kept(self):
        with Bucket() as b:
            self.assertEqual(code(s3.get_bucket_cors, Bucket=b), "NoSuchCORSConfiguration")
            rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "MaxAgeSeconds": 60}
            s3.put_bucket_cors(Bucket=b, CORSConfiguration={"CORSRules": [rule]})
            self.assertEqual(s3.get_bucket_cors(Bucket=b)["CORSRules"], [rule])
            site = {"IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "error.html"}}
            s3.put_bucket_website(Bucket=b, WebsiteConfiguration=site)
            got = s3.get_bucket_website(Bucket=b)
            self.assertEqual({key: got[key] for key in site}, site)
            rules = [{"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "a/"}, "Expiration": {"Days": 1}}]
            s3.put_bucket_lifecycle_configuration(Bucket=b, LifecycleConfiguration={"Rules": rules})
            self.assertEqual(s3.get_bucket_lifecycle_configuration(Bucket=b)["Rules"], rules)
            self.assertEqual(s3.get_bucket_request_payment(Bucket=b)["Payer"], "BucketOwner")
            self.assertEqual(code(s3.put_bucket_policy, Bucket=b, Policy="[]"), "MalformedPolicy")

    def test_what_is_not_offered_is_refused(self):
        with Bucket() as b:
            self.assertEqual(code(s3.list_bucket_inventory_configurations, Bucket=b), "NotImplemented")
            self.assertEqual(code(s3.restore_object, Bucket=b, Key="k", RestoreRequest={"Days": 1}), "NotImplemented")
            put = s3.put_object
            self.assertEqual(code(put, Bucket=b, Key="k", Body=b"", StorageClass="GLACIER"), "NotImplemented")
            until = datetime.datetime.now(datetime.timezone.utc)
            lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}
            self.assertEqual(code(put, Bucket=b, Key="k", Body=b"", **lock), "NotImplemented")


class Notifications(unittest.TestCase):
    def receive(self, sqs, url):
        messages = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10).get("Messages", [])
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in messages]

    def test_queues_get_events(self):
        sqs = boto3.client("sqs")
        with Bucket() as b:
            url = sqs.create_queue(QueueName=b)["QueueUrl"]
            arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            rules = [{"Name": "prefix", "Value": "in/"}, {"Name": "suffix", "Value": ".json"}]
            queue = {
                "Id": "mine",
                "QueueArn": arn,
                "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
                "Filter": {"Key": {"FilterRules": rules}},
            }
            s3.put_bucket_notification_configuration(
                Bucket=b, NotificationConfiguration={"QueueConfigurations": [queue]}
            )
            got = s3.get_bucket_notification_configuration(Bucket=b)["QueueConfigurations"][0]
            self.assertEqual((got["Id"], got["QueueArn"]), ("mine", arn))
            self.assertEqual(self.receive(sqs, url)[0]["Event"], "s3:TestEvent")
            s3.put_object(Bucket=b, Key="out/a.json", Body=b"{}")
            s3.put_object(Bucket=b, Key="in/a b.json", Body=b"{}")
            s3.delete_object(Bucket=b, Key="in/a b.json")
            events = []
            while len(events) < 2:
                events += [record for body in self.receive(sqs, url) for record in body["Records"]]
            self.assertEqual({e["eventName"] for e in events}, {"ObjectCreated:Put", "ObjectRemoved:Delete"})
            self.assertEqual({e["s3"]["object"]["key"] for e in events}, {"in/a+b.json"})
            self.assertEqual({e["s3"]["configurationId"] for e in events}, {"mine"})
            sqs.delete_queue(QueueUrl=url)

    def test_a_missing_destination_is_refused(self):
        with Bucket() as b:
            arn = f"arn:aws:sqs:{REGION}:000000000000:none-{b}"
            rules = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
            refused = code(s3.put_bucket_notification_configuration, Bucket=b, NotificationConfiguration=rules)
            self.assertEqual(refused, "InvalidArgument")


class CommandLine(unittest.TestCase):
    def aws(self, *args):
        done = subprocess.run(["aws", *args], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_s3_commands(self):
        name = f"conformance-{uuid.uuid4().hex[:12]}"
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.xml")
            with open(path, "w") as file:
                file.write("<a/>")
            self.aws("s3", "mb", f"s3://{name}")
            self.aws("s3", "cp", path, f"s3://{name}/in/a.xml")
            self.assertIn("PRE in/", self.aws("s3", "ls", f"s3://{name}/"))
            self.assertEqual(self.aws("s3", "cp", f"s3://{name}/in/a.xml", "-"), "<a/>")
            self.aws("s3", "sync", folder, f"s3://{name}/synced")
            self.aws("s3", "mv", f"s3://{name}/in/a.xml", f"s3://{name}/moved.xml")
            listed = self.aws("s3", "ls", "--recursive", f"s3://{name}").split("\n")
            self.assertEqual([line.split()[-1] for line in listed if line], ["moved.xml", "synced/a.xml"])
            self.aws("s3", "rb", "--force", f"s3://{name}")


if __name__ == "__main__":
    unittest.main(verbosity=1)
