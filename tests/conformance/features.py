"""The features that `cart-features` makes of orders, against DuckDB, which runs the statements of the template for Athena.

Sets up the pipeline `cart` on the local cloud, loads generated orders with `streamctl sample load cart`, reads the orders
from the bucket and the features from the table, and compares all of them. `ORDERS` says how many orders (100,000).
"""

import gzip
import json
import math
import os
import subprocess
import sys
import tempfile
from decimal import Decimal

import boto3
import duckdb

STREAMCTL = os.environ["STREAMCTL"]
ORDERS = int(os.environ.get("ORDERS") or 100_000)

# The statements for Athena, which speaks the SQL of Trino. DuckDB lacks two of its functions.
STATEMENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../templates/cart/features.sql")
FUNCTIONS = (
    "CREATE MACRO sequence(first, last) AS range(first, last + 1)",
    "CREATE MACRO cardinality(list) AS len(list)",
)


def streamctl(*arguments):
    done = subprocess.run([STREAMCTL, *arguments], stdout=subprocess.PIPE, check=True)
    return done.stdout


def orders_of(outputs, directory):
    """Writes the files of orders, decompressed, into `directory`."""
    s3 = boto3.client("s3")
    bucket = outputs["bucket_name"]
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="orders/")
    keys = [one["Key"] for one in listed["Contents"]]
    assert keys, "there are no orders"
    for number, key in enumerate(keys):
        data = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        with open(os.path.join(directory, f"{number}.ndjson"), "wb") as file:
            file.write(data)


def expected(directory):
    """The features of users and of products by DuckDB, by the key of their item."""
    database = duckdb.connect()
    database.execute(
        """
        CREATE TABLE orders AS SELECT * FROM read_json(?, format = 'newline_delimited', columns = {
            user_id: 'BIGINT', order_number: 'BIGINT', days_since_prior: 'DOUBLE',
            products: 'STRUCT(product_id VARCHAR, reordered BIGINT)[]'})
        """,
        [os.path.join(directory, "*.ndjson")],
    )
    (count,) = database.execute("SELECT count(*) FROM orders").fetchone()
    assert count == ORDERS, f"{count} orders were loaded, {ORDERS} were asked for"
    for function in FUNCTIONS:
        database.execute(function)
    with open(STATEMENTS, encoding="utf-8") as file:
        statements = file.read().split(";")
    for statement in statements:
        # The orders are a table here, and tables have no format.
        if "EXTERNAL TABLE" not in statement and statement.strip():
            database.execute(statement.replace(" WITH (format = 'PARQUET')", ""))
    items = {}
    for kind in ("user", "product"):
        found = database.execute(f"SELECT * FROM {kind}_features")
        names = [column[0] for column in found.description]
        for row in found.fetchall():
            items[f"{kind}#{row[0]}"] = dict(zip(names[1:], row[1:]))
    return items


def stored(outputs):
    """The numbers of each item of the table, by its key."""
    items = {}
    pages = boto3.client("dynamodb").get_paginator("scan").paginate(TableName=outputs["table_name"])
    for page in pages:
        for item in page["Items"]:
            items[item["id"]["S"]] = {name: Decimal(value["N"]) for name, value in item.items() if "N" in value}
    return items


def is_same(found, wanted):
    """Counts are equal; means and ratios differ by rounding at most."""
    if found is None or wanted is None:
        return found is None and wanted is None
    return math.isclose(float(found), float(wanted), rel_tol=1e-12)


def main():
    streamctl("setup", "cart", "--quiet")
    streamctl("sample", "load", "cart", "--orders", str(ORDERS), "--quiet")
    outputs = json.loads(streamctl("outputs", "cart", "-o", "json"))
    with tempfile.TemporaryDirectory() as directory:
        orders_of(outputs, directory)
        wanted = expected(directory)
    found = stored(outputs)
    assert found.keys() == wanted.keys(), f"other items: {list(found.keys() ^ wanted.keys())[:10]}"
    values = 0
    for key, features in wanted.items():
        for name, value in features.items():
            assert is_same(found[key].get(name), value), f"{key} {name}: {found[key].get(name)}, DuckDB has {value}"
            values += 1
        more = found[key].keys() - features.keys()
        assert not more, f"{key} has {more} as well"
    users = sum(key.startswith("user#") for key in wanted)
    print(f"features: {ORDERS} orders, {users} users, {len(wanted) - users} products, {values} values as DuckDB has them")


sys.exit(main())
