"""Tests CloudFront on the local cloud with boto3, a client that is independent of streamctl.

Run by tests/conformance/run, which starts the local cloud and sets the environment. The tests assert what AWS documents.
"""

import contextlib
import json
import os
import unittest
import urllib.error
import urllib.request
import uuid

import boto3
from botocore.config import Config

CONFIG = Config(retries={"max_attempts": 0})
cloudfront = boto3.client("cloudfront", config=CONFIG)
s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
# The managed policies CachingOptimized and SecurityHeadersPolicy.
CACHE_POLICY = "658327ea-f89d-4fab-a63d-7e88639e58f6"
HEADERS_POLICY = "67f7725c-6f97-4210-82d7-5512b31e9d03"
ERRORS = cloudfront.exceptions


def deployed(distribution):
    cloudfront.get_waiter("distribution_deployed").wait(Id=distribution, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def listed(call, name, **options):
    """The items of all pages, with one item each."""
    found, marker = [], {}
    while True:
        page = call(MaxItems="1", **options, **marker)[name]
        found += page.get("Items", [])
        if not page["IsTruncated"]:
            return found
        marker = {"Marker": page["NextMarker"]}


class CloudFront(unittest.TestCase):
    def setUp(self):
        self.name = f"conformance-{uuid.uuid4().hex[:12]}"
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        s3.create_bucket(Bucket=self.name)
        stack.callback(s3.delete_bucket, Bucket=self.name)
        s3.put_object(Bucket=self.name, Key="index.html", Body=b"<p>Hello", ContentType="text/html")
        stack.callback(s3.delete_object, Bucket=self.name, Key="index.html")
        made = cloudfront.create_origin_access_control(
            OriginAccessControlConfig={
                "Name": self.name,
                "SigningProtocol": "sigv4",
                "SigningBehavior": "always",
                "OriginAccessControlOriginType": "s3",
            }
        )
        self.access_control = made["OriginAccessControl"]["Id"]
        stack.callback(cloudfront.delete_origin_access_control, Id=self.access_control, IfMatch=made["ETag"])
        self.stack = stack

    def config(self):
        origin = {
            "Id": "bucket",
            "DomainName": f"{self.name}.s3.us-east-1.amazonaws.com",
            "OriginAccessControlId": self.access_control,
            "S3OriginConfig": {"OriginAccessIdentity": ""},
        }
        behavior = {
            "TargetOriginId": "bucket",
            "ViewerProtocolPolicy": "redirect-to-https",
            "CachePolicyId": CACHE_POLICY,
            "ResponseHeadersPolicyId": HEADERS_POLICY,
        }
        return {
            "CallerReference": self.name,
            "Comment": self.name,
            "Enabled": True,
            "DefaultRootObject": "index.html",
            "Origins": {"Quantity": 1, "Items": [origin]},
            "DefaultCacheBehavior": behavior,
        }

    def create(self):
        tags = {"Items": [{"Key": "team", "Value": "a b=c@d"}]}
        config = {"DistributionConfig": self.config(), "Tags": tags}
        made = cloudfront.create_distribution_with_tags(DistributionConfigWithTags=config)
        self.stack.callback(self.delete, made["Distribution"]["Id"])
        return made["Distribution"]

    def delete(self, distribution):
        there = cloudfront.get_distribution_config(Id=distribution)
        config = there["DistributionConfig"] | {"Enabled": False}
        disabled = cloudfront.update_distribution(Id=distribution, IfMatch=there["ETag"], DistributionConfig=config)
        with self.assertRaises(ERRORS.PreconditionFailed):
            cloudfront.delete_distribution(Id=distribution, IfMatch=there["ETag"])
        deployed(distribution)
        cloudfront.delete_distribution(Id=distribution, IfMatch=disabled["ETag"])
        with self.assertRaises(ERRORS.NoSuchDistribution):
            cloudfront.get_distribution(Id=distribution)

    def get(self, distribution, path=""):
        url = f"{os.environ['AWS_ENDPOINT_URL']}/_cloudfront/{distribution}/{path}"
        try:
            with urllib.request.urlopen(url) as answer:
                return answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read(), error.headers

    def test_only_the_distribution_reads_the_bucket(self):
        made = self.create()
        deployed(made["Id"])
        self.assertEqual(self.get(made["Id"])[0], 403)
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "cloudfront.amazonaws.com"},
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{self.name}/*",
            "Condition": {"StringEquals": {"AWS:SourceArn": made["ARN"]}},
        }
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        s3.put_bucket_policy(Bucket=self.name, Policy=json.dumps(policy))
        status, body, headers = self.get(made["Id"])
        self.assertEqual((status, body, headers["Content-Type"]), (200, b"<p>Hello", "text/html"))
        self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        # Without s3:ListBucket, an object that does not exist is denied.
        self.assertEqual(self.get(made["Id"], "none")[0], 403)
        statement["Condition"]["StringEquals"]["AWS:SourceArn"] = f"{made['ARN']}X"
        s3.put_bucket_policy(Bucket=self.name, Policy=json.dumps(policy))
        self.assertEqual(self.get(made["Id"])[0], 403)

    def test_a_distribution_is_read_changed_and_listed(self):
        made = self.create()
        with self.assertRaises(ERRORS.DistributionAlreadyExists):
            cloudfront.create_distribution(DistributionConfig=self.config())
        there = cloudfront.get_distribution_config(Id=made["Id"])
        config = there["DistributionConfig"]
        self.assertEqual(config["PriceClass"], "PriceClass_All")
        error = {"ErrorCode": 403, "ResponsePagePath": "/index.html", "ResponseCode": "200", "ErrorCachingMinTTL": 5}
        config["CustomErrorResponses"] = {"Quantity": 1, "Items": [error]}
        config["PriceClass"] = "PriceClass_100"
        changed = cloudfront.update_distribution(Id=made["Id"], IfMatch=there["ETag"], DistributionConfig=config)
        self.assertEqual(changed["Distribution"]["DistributionConfig"], config)
        self.assertEqual(changed["Distribution"]["Status"], "InProgress")
        deployed(made["Id"])
        distributions = listed(cloudfront.list_distributions, "DistributionList")
        [summary] = [one for one in distributions if one["Id"] == made["Id"]]
        self.assertEqual((summary["Comment"], summary["Status"]), (self.name, "Deployed"))
        self.assertEqual(summary["DomainName"], made["DomainName"])
        controls = listed(cloudfront.list_origin_access_controls, "OriginAccessControlList")
        self.assertEqual([one["Name"] for one in controls if one["Id"] == self.access_control], [self.name])

    def test_tags(self):
        arn = self.create()["ARN"]
        cloudfront.tag_resource(Resource=arn, Tags={"Items": [{"Key": "b", "Value": ""}]})
        cloudfront.untag_resource(Resource=arn, TagKeys={"Items": ["none"]})
        found = cloudfront.list_tags_for_resource(Resource=arn)["Tags"]["Items"]
        self.assertEqual({one["Key"]: one["Value"] for one in found}, {"team": "a b=c@d", "b": ""})

    def test_invalidations(self):
        made = self.create()["Id"]
        batch = {"CallerReference": "one", "Paths": {"Quantity": 2, "Items": ["/*", "/a"]}}
        one = cloudfront.create_invalidation(DistributionId=made, InvalidationBatch=batch)["Invalidation"]
        again = cloudfront.create_invalidation(DistributionId=made, InvalidationBatch=batch)["Invalidation"]
        self.assertEqual(again["Id"], one["Id"])
        waiter = cloudfront.get_waiter("invalidation_completed")
        waiter.wait(DistributionId=made, Id=one["Id"], WaiterConfig={"Delay": 1})
        found = listed(cloudfront.list_invalidations, "InvalidationList", DistributionId=made)
        self.assertEqual([invalidation["Id"] for invalidation in found], [one["Id"]])
        with self.assertRaises(ERRORS.InvalidArgument):
            cloudfront.create_invalidation(
                DistributionId=made,
                InvalidationBatch={"CallerReference": "two", "Paths": {"Quantity": 1, "Items": ["a"]}},
            )


if __name__ == "__main__":
    unittest.main(verbosity=1)
