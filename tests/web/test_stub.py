"""The stand-ins answer as the APIs that options name: statuses, bodies and headers that pages can see."""

import json
import unittest
import urllib.error
import urllib.request

from browser import OPTIONS
import stub

HEADERS = (
    "content-type",
    "access-control-allow-origin",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
)


def answer(base, method, path, body=None):
    """The answer of an API. Values that differ from request to request are left out, and texts of a JSON parser."""
    headers = {"Content-Type": "application/json"} if body is not None else {}
    request = urllib.request.Request(base + path, body and body.encode(), headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            status, headers, text = response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        status, headers, text = error.code, error.headers, error.read()
    value = json.loads(text, parse_float=str, parse_int=str) if text else None
    for name in ("id", "record_id", "shard_id", "url", "download_url"):
        if isinstance(value, dict) and name in value:
            value[name] = type(value[name]).__name__
    if isinstance(value, dict) and "not valid JSON" in str(value.get("message")):
        value = "not valid JSON"
    return status, value, {name: headers[name] for name in HEADERS}


class Stub(unittest.TestCase):
    maxDiff = None

    def compare(self, real, server, requests):
        if not real:
            self.skipTest("no API is named")
        self.addCleanup(server.stop)
        for method, path, *body in requests:
            with self.subTest(method=method, path=path, body=body):
                self.assertEqual(answer(server.url, method, path, *body), answer(real, method, path, *body))

    def test_cart(self):
        good = '{"user_id": 90071992547409931, "product_ids": ["a"], "event": "checkout"}'
        self.compare(
            OPTIONS.cart_api,
            stub.CartApi(),
            [
                ("POST", "/submit", good),
                ("POST", "/submit", "{"),
                ("POST", "/submit", "[]"),
                ("POST", "/submit", "{}"),
                ("POST", "/submit", '{"user_id": -1}'),
                ("POST", "/submit", '{"user_id": 1, "product_ids": 1}'),
                ("POST", "/submit", '{"user_id": 1, "product_ids": ["a_b"]}'),
                ("POST", "/submit", '{"user_id": 1, "event": "pay"}'),
                ("OPTIONS", "/submit"),
                ("GET", "/submit"),
                ("POST", "/other", good),
            ],
        )

    def test_products(self):
        server = stub.ProductsApi()
        if real := OPTIONS.prices_api:
            # The same product on both sides.
            request = urllib.request.Request(f"{real}/products", b'{"name": "Stub", "price": 1.50}', method="POST")
            with urllib.request.urlopen(request, timeout=30) as response:
                one = json.load(response)["id"]
            server.products[one] = {"id": one, "name": "Stub", "price": "1.5"}
            path = f"/products/{one}"
        else:
            path = "/products/none"
        self.compare(
            real,
            server,
            [
                ("GET", path),
                ("PUT", path, '{"price": 2.50}'),
                ("PUT", path, '{"price": 9007199254740993.10}'),
                ("PUT", path, "{"),
                ("GET", "/products/none"),
                ("PUT", "/products/none", '{"price": 1}'),
                ("DELETE", "/products/none"),
                ("GET", "/products?category=none"),
                ("POST", "/products", '{"id": "x"}'),
                ("POST", "/products", "{"),
                ("POST", f"{path}/images"),
                ("GET", f"{path}/images?type=main&size=small"),
                ("GET", f"{path}/images?size=huge"),
                ("PATCH", path),
                ("PUT", "/products", "{}"),
                ("DELETE", f"{path}/images"),
                ("GET", "/other"),
                ("OPTIONS", path),
                ("DELETE", path),
            ],
        )
