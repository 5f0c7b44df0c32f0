"""Tests Glue and Athena on the local cloud with boto3, a client that is independent of streamctl.

Run by tests/conformance/run, which starts the local cloud and sets the environment. The tests assert what AWS documents.
"""

import unittest
import uuid

import boto3
from botocore.config import Config

CONFIG = Config(retries={"max_attempts": 0})
glue = boto3.client("glue", config=CONFIG)
athena = boto3.client("athena", config=CONFIG)
region = boto3.session.Session().region_name
COLUMNS = [{"Name": "user_id", "Type": "bigint"}, {"Name": "products", "Type": "array<struct<product_id:string>>"}]


class Glue(unittest.TestCase):
    def setUp(self):
        self.name = f"conformance_{uuid.uuid4().hex[:12]}"
        glue.create_database(DatabaseInput={"Name": self.name, "Description": "Orders"}, Tags={"team": "blue"})

    def tearDown(self):
        try:
            glue.delete_database(Name=self.name)
        except glue.exceptions.EntityNotFoundException:
            pass

    def table(self, name):
        storage = {"Columns": COLUMNS, "Location": f"s3://lake/{name}/", "SerdeInfo": {"SerializationLibrary": "serde"}}
        return {"Name": name, "TableType": "EXTERNAL_TABLE", "StorageDescriptor": storage, "Parameters": {"EXTERNAL": "TRUE"}}

    def test_databases(self):
        found = glue.get_database(Name=self.name)["Database"]
        self.assertEqual((found["Name"], found["Description"]), (self.name, "Orders"))
        self.assertIn("CreateTime", found)
        with self.assertRaises(glue.exceptions.AlreadyExistsException):
            glue.create_database(DatabaseInput={"Name": self.name.upper()})
        glue.update_database(Name=self.name, DatabaseInput={"Name": self.name, "LocationUri": "s3://lake/"})
        listed = glue.get_paginator("get_databases").paginate(PaginationConfig={"PageSize": 1})
        found = [one for page in listed for one in page["DatabaseList"] if one["Name"] == self.name]
        self.assertEqual([one["LocationUri"] for one in found], ["s3://lake/"])
        arn = f"arn:aws:glue:{region}:{found[0]['CatalogId']}:database/{self.name}"
        glue.tag_resource(ResourceArn=arn, TagsToAdd={"stage": "x"})
        glue.untag_resource(ResourceArn=arn, TagsToRemove=["team"])
        self.assertEqual(glue.get_tags(ResourceArn=arn)["Tags"], {"stage": "x"})
        tagged = boto3.client("resourcegroupstaggingapi").get_resources(ResourceTypeFilters=["glue:database"])
        self.assertIn(arn, [one["ResourceARN"] for one in tagged["ResourceTagMappingList"]])

    def test_tables(self):
        for name in ("orders", "order_lines", "products"):
            glue.create_table(DatabaseName=self.name, TableInput=self.table(name))
        found = glue.get_table(DatabaseName=self.name, Name="Orders")["Table"]
        self.assertEqual(found["StorageDescriptor"]["Columns"], COLUMNS)
        listed = glue.get_paginator("get_tables").paginate(
            DatabaseName=self.name, Expression="order.*", PaginationConfig={"PageSize": 1}
        )
        self.assertEqual([one["Name"] for page in listed for one in page["TableList"]], ["order_lines", "orders"])
        changed = self.table("orders") | {"Description": "All"}
        glue.update_table(DatabaseName=self.name, TableInput=changed, VersionId=found["VersionId"])
        with self.assertRaises(glue.exceptions.ConcurrentModificationException):
            glue.update_table(DatabaseName=self.name, TableInput=changed, VersionId=found["VersionId"])
        errors = glue.batch_delete_table(DatabaseName=self.name, TablesToDelete=["products", "none"])["Errors"]
        self.assertEqual([one["TableName"] for one in errors], ["none"])
        glue.delete_table(DatabaseName=self.name, Name="order_lines")
        with self.assertRaises(glue.exceptions.EntityNotFoundException):
            glue.delete_table(DatabaseName=self.name, Name="order_lines")
        # What is left goes with the database.
        glue.delete_database(Name=self.name)
        with self.assertRaises(glue.exceptions.EntityNotFoundException):
            glue.get_tables(DatabaseName=self.name)


class Athena(unittest.TestCase):
    def setUp(self):
        self.name = f"conformance-{uuid.uuid4().hex[:12]}"
        configuration = {
            "ResultConfiguration": {"OutputLocation": "s3://lake/athena/"},
            "BytesScannedCutoffPerQuery": 10_000_000,
        }
        athena.create_work_group(
            Name=self.name, Configuration=configuration, Tags=[{"Key": "team", "Value": "blue"}]
        )
        self.addCleanup(athena.delete_work_group, WorkGroup=self.name, RecursiveDeleteOption=True)

    def test_settings(self):
        group = athena.get_work_group(WorkGroup=self.name)["WorkGroup"]
        self.assertEqual((group["State"], group["Configuration"]["BytesScannedCutoffPerQuery"]), ("ENABLED", 10_000_000))
        updates = {
            "RemoveBytesScannedCutoffPerQuery": True,
            "ResultConfigurationUpdates": {"EncryptionConfiguration": {"EncryptionOption": "SSE_S3"}},
        }
        athena.update_work_group(WorkGroup=self.name, Description="Ours", ConfigurationUpdates=updates)
        group = athena.get_work_group(WorkGroup=self.name)["WorkGroup"]
        self.assertNotIn("BytesScannedCutoffPerQuery", group["Configuration"])
        results = {"OutputLocation": "s3://lake/athena/", "EncryptionConfiguration": {"EncryptionOption": "SSE_S3"}}
        self.assertEqual(group["Configuration"]["ResultConfiguration"], results)
        listed = athena.list_work_groups()["WorkGroups"]
        self.assertLessEqual({"primary", self.name}, {one["Name"] for one in listed})
        account = boto3.client("sts").get_caller_identity()["Account"]
        arn = f"arn:aws:athena:{region}:{account}:workgroup/{self.name}"
        tags = athena.list_tags_for_resource(ResourceARN=arn)["Tags"]
        self.assertEqual(tags, [{"Key": "team", "Value": "blue"}])
        with self.assertRaisesRegex(athena.exceptions.InvalidRequestException, "WorkGroup is not found"):
            athena.get_work_group(WorkGroup="none")

    def test_what_is_saved(self):
        query = athena.create_named_query(
            Name="all", Database="shop", QueryString="SELECT 1", WorkGroup=self.name
        )["NamedQueryId"]
        self.assertEqual(athena.list_named_queries(WorkGroup=self.name)["NamedQueryIds"], [query])
        self.assertEqual(athena.get_named_query(NamedQueryId=query)["NamedQuery"]["QueryString"], "SELECT 1")
        with self.assertRaisesRegex(athena.exceptions.InvalidRequestException, "is not empty"):
            athena.delete_work_group(WorkGroup=self.name)
        athena.delete_named_query(NamedQueryId=query)
        athena.create_prepared_statement(StatementName="one", WorkGroup=self.name, QueryStatement="SELECT ?")
        found = athena.get_prepared_statement(StatementName="one", WorkGroup=self.name)["PreparedStatement"]
        self.assertEqual(found["QueryStatement"], "SELECT ?")

    def test_no_query_is_run(self):
        with self.assertRaisesRegex(athena.exceptions.InvalidRequestException, "runs no queries"):
            athena.start_query_execution(QueryString="SELECT 1", WorkGroup=self.name)


if __name__ == "__main__":
    unittest.main()
