"""Stands in for what the pages of the templates cart and prices talk to: their sites, APIs and the bucket of images.

Statuses, bodies and headers are those of the handlers cart-api, products-api and image-processor (handlers/src), of a REST
API with a direct Kinesis integration, and of S3. Tests set `fault` to change what an API answers.
"""

import dataclasses
import hashlib
import http.server
import io
import json
import pathlib
import re
import threading
import time
import urllib.parse
import uuid
from email.utils import formatdate

from PIL import Image, ImageOps

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
SIZES = {"small": (192, 108), "medium": (1280, 720), "large": (1920, 1080)}
EVENTS = ("add_to_cart", "remove_from_cart", "update_cart", "checkout")


@dataclasses.dataclass
class Request:
    method: str
    path: str
    query: dict
    headers: dict
    body: bytes
    target: str


@dataclasses.dataclass
class Answer:
    status: int
    body: bytes = b""
    headers: dict = dataclasses.field(default_factory=dict)


class Server:
    """Serves `respond` on a free port of the loopback interface."""

    def __init__(self):
        self.requests = []
        self.ended = threading.Event()
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def handler(self):
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                target = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(target.query))
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, target.path, query, headers, body, self.path)
                server.requests.append(request)
                answer = server.respond(request)
                if answer is None:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

            def log_message(self, *_):
                pass

        return Handler

    def respond(self, request):
        raise NotImplementedError

    def stop(self):
        self.ended.set()
        self.http.shutdown()
        self.http.server_close()


class Site(Server):
    """A directory of static files with a config.json, as a distribution serves it: with a strict policy."""

    def __init__(self, directory, config, allowed):
        self.directory = pathlib.Path(directory)
        # A source with a path and no slash at its end would allow this path only.
        allowed = [re.sub(r"(?<=\w)/.*", "", url) for url in allowed]
        self.config = config
        self.policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
            f"connect-src 'self' {' '.join(allowed)}"
        )
        super().__init__()

    def respond(self, request):
        name = request.path.lstrip("/") or "index.html"
        # The distribution answers with the index for a file that does not exist.
        path = self.directory / (name if (self.directory / name).is_file() else "index.html")
        if name == "config.json" and isinstance(self.config, int):
            return Answer(self.config, b"denied", {"Content-Type": "text/plain"})
        if name == "config.json" and self.config is not None:
            return Answer(200, self.config.encode(), {"Content-Type": "application/json"})
        headers = {"Content-Type": TYPES[path.suffix], "Content-Security-Policy": self.policy}
        headers["X-Content-Type-Options"] = "nosniff"
        return Answer(200, path.read_bytes(), headers)


class Api(Server):
    """What every API of the handlers does: CORS on each answer, and faults.

    `fault` is a status with a message, "hang", "drop" for a connection that ends, or "text" for an answer that is no JSON.
    """

    METHODS = ""

    def __init__(self):
        self.fault = None
        super().__init__()

    def respond(self, request):
        if request.method == "OPTIONS":
            # An HTTP API adds the type to an answer without one.
            headers = {"Access-Control-Max-Age": "86400", "Content-Type": "application/json"}
            return self.allowed(Answer(200, headers=headers))
        if self.fault == "hang":
            self.ended.wait(60)
            return None
        if self.fault == "drop":
            return None
        if self.fault == "text":
            return self.allowed(Answer(200, b"<p>Welcome</p>", {"Content-Type": "text/html"}))
        if self.fault:
            return self.allowed(message(*self.fault))
        return self.allowed(self.route(request))

    def allowed(self, answer):
        answer.headers |= {
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Methods": self.METHODS,
            "Access-Control-Allow-Headers": "Content-Type, Authorization",
        }
        return answer

    def route(self, request):
        raise NotImplementedError


def reply(status, value):
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def message(status, text):
    return reply(status, {"message": text})


class CartApi(Api):
    """cart-api. `records` are the bodies that it accepted, as text.

    `direct` is the variant without a function: the path begins with the stage `prod`, and only Kinesis refuses anything.
    """

    METHODS = "POST, OPTIONS"

    def __init__(self, direct=False):
        self.direct = direct
        self.records = []
        self.recommendations = None
        super().__init__()

    def route(self, request):
        if request.path != ("/prod/submit" if self.direct else "/submit"):
            return message(404, "Not Found")
        if request.method != "POST":
            return message(405, "Method Not Allowed")
        if request.headers.get("content-type") != "application/json":
            return message(415, "Unsupported Media Type")
        problem = self.problem(request.body)
        if problem and not self.direct:
            return message(400, problem)
        self.records.append(request.body.decode())
        number = f"4966{len(self.records):052}"
        answer = {"message": "Data sent to Kinesis successfully", "record_id": number, "shard_id": "shardId-000000000000"}
        if self.recommendations is not None:
            answer["recommendations"] = self.recommendations
        return reply(200, answer)

    @staticmethod
    def problem(body):
        try:
            value = json.loads(body)
        except ValueError as error:
            return f"The body is not valid JSON: {error}"
        if not isinstance(value, dict):
            return "The body is not a JSON object"
        if "user_id" not in value:
            return "The field user_id is missing"
        if not re.fullmatch(r"\d+", str(value["user_id"])):
            return "The field user_id is not a whole number"
        if not isinstance(value.get("product_ids", []), list):
            return "The field product_ids is not a list"
        if any(not re.fullmatch(r"[A-Za-z0-9\s]+", one) for one in value.get("product_ids", [])):
            return "The field product_ids holds a value with characters other than letters, digits and spaces"
        return None if value.get("event") in EVENTS else f"The field event is not one of {', '.join(EVENTS)}"


class Bucket(Server):
    """A bucket with CORS rules for PUT and GET. Requests need a presigned URL: for this method, key and type."""

    SECRET = uuid.uuid4().hex

    def __init__(self):
        self.objects = {}
        self.fault = None
        self.uploaded = None
        super().__init__()

    def presigned(self, method, key):
        date = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        query = {"X-Amz-Date": date, "X-Amz-Expires": "3600", "X-Amz-SignedHeaders": "host"}
        if method == "PUT":
            query["X-Amz-SignedHeaders"] = "content-type;host"
        query["X-Amz-Signature"] = self.signature(method, key, query, "image/jpeg")
        return f"{self.url}/{key}?{urllib.parse.urlencode(query)}"

    def signature(self, method, key, query, content_type):
        signed = [method, key, query["X-Amz-Date"], query["X-Amz-SignedHeaders"], self.SECRET]
        if "content-type" in query["X-Amz-SignedHeaders"]:
            signed.append(content_type)
        return hashlib.sha256("\n".join(signed).encode()).hexdigest()

    def respond(self, request):
        answer = self.route(request)
        if answer and "origin" in request.headers:
            answer.headers |= {"Access-Control-Allow-Origin": "*", "Vary": "Origin"}
        return answer

    def route(self, request):
        if request.method == "OPTIONS":
            if request.headers.get("access-control-request-method") not in ("PUT", "GET"):
                return Answer(403)
            wanted = request.headers.get("access-control-request-headers", "")
            return Answer(200, headers={"Access-Control-Allow-Methods": "PUT, GET", "Access-Control-Allow-Headers": wanted})
        if self.fault == "hang":
            self.ended.wait(60)
        if self.fault in ("hang", "drop"):
            return None
        if self.fault:
            return self.error(*self.fault)
        key = request.path[1:]
        given = request.query.pop("X-Amz-Signature", "")
        if "X-Amz-Date" not in request.query:
            return self.error(403, "AccessDenied", "Access Denied")
        if given != self.signature(request.method, key, request.query, request.headers.get("content-type", "")):
            return self.error(403, "SignatureDoesNotMatch", "The request signature we calculated does not match.")
        if request.method == "PUT":
            self.put(key, request.body)
            self.uploaded(key, request.body)
            return Answer(200, headers={"ETag": f'"{hashlib.md5(request.body).hexdigest()}"'})
        if key not in self.objects:
            return self.error(404, "NoSuchKey", "The specified key does not exist.")
        body, modified = self.objects[key]
        return Answer(200, body, {"Content-Type": "image/jpeg", "Last-Modified": modified})

    def put(self, key, body):
        self.objects[key] = (body, formatdate(usegmt=True))

    @staticmethod
    def error(status, code, text):
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{text}</Message></Error>'
        return Answer(status, body.encode(), {"Content-Type": "application/xml"})


class ProductsApi(Api):
    """products-api, with image-processor behind its bucket.

    `products` have their prices as text. The sizes of an image are made when the product is read for the `looks`-th time
    after the upload; never if that is None.
    """

    METHODS = "GET, POST, PUT, DELETE, OPTIONS"

    def __init__(self, products=()):
        self.products = {one["id"]: dict(one) for one in products}
        self.looks = 2
        self.pending = {}
        self.too_many = None
        self.bucket = Bucket()
        self.bucket.uploaded = self.uploaded
        super().__init__()

    def stop(self):
        super().stop()
        self.bucket.stop()

    def uploaded(self, key, body):
        if self.looks is not None:
            self.pending[key.split("/")[1]] = [self.looks, body]

    def process(self, product):
        pending = self.pending.get(product)
        if not pending:
            return
        pending[0] -= 1
        if pending[0]:
            return
        del self.pending[product]
        picture = ImageOps.exif_transpose(Image.open(io.BytesIO(pending[1]))).convert("RGB")
        for name, size in reversed(SIZES.items()):
            jpeg = io.BytesIO()
            ImageOps.pad(picture, size, color="white").save(jpeg, "JPEG", quality=85)
            self.bucket.put(f"product_images/{product}/main/{name}.jpg", jpeg.getvalue())
        self.products[product]["images"] = {"main": list(SIZES)}

    @staticmethod
    def text(product):
        """The product as JSON. Its price is written as it is."""
        rest = {name: value for name, value in product.items() if name != "price"}
        price = f',"price":{product["price"]}' if "price" in product else ""
        return f"{json.dumps(rest)[:-1]}{price}}}"

    def one(self, status, product):
        return Answer(status, self.text(product).encode(), {"Content-Type": "application/json"})

    def route(self, request):
        segments = [urllib.parse.unquote(one) for one in request.path.split("/") if one]
        if segments == ["products"]:
            methods = {"GET": self.list, "POST": self.create}
            return methods[request.method](request) if request.method in methods else message(405, "Method Not Allowed")
        if segments[:1] != ["products"] or len(segments) > 3 or segments[2:] not in ([], ["images"]):
            return message(404, "Not Found")
        if request.method == "GET" and len(segments) == 2:
            self.process(segments[1])
        product = self.products.get(segments[1])
        if product is None:
            return message(404, "Product not found")
        if request.method not in (("GET", "POST") if len(segments) == 3 else ("GET", "PUT", "DELETE")):
            return message(405, "Method Not Allowed")
        if len(segments) == 3:
            return self.images(product, request)
        if request.method == "PUT":
            fields = self.fields(request)
            if fields is None:
                return message(400, "The body is not valid JSON: truncated")
            product |= fields
        elif request.method == "DELETE":
            del self.products[product["id"]]
        return self.one(200, product)

    def list(self, request):
        category = request.query.get("category")
        if self.too_many and not category:
            return message(413, "The list of products is larger than an answer may be; ask for one category")
        wanted = [one for one in self.products.values() if not category or one.get("category") == category]
        body = "[" + ",".join(map(self.text, wanted)) + "]"
        return Answer(200, body.encode(), {"Content-Type": "application/json"})

    def create(self, request):
        product = self.fields(request)
        if product is None:
            return message(400, "The body is not valid JSON: truncated")
        if "id" in product:
            return message(400, "Product id is not allowed")
        product = {"id": str(uuid.uuid4()), **product}
        self.products[product["id"]] = product
        return self.one(201, product)

    @staticmethod
    def fields(request):
        """The fields of a body, or None if it is not JSON. Numbers are exact, and have no zeros at their end."""
        try:
            return json.loads(request.body, parse_float=lambda text: text.rstrip("0").rstrip("."), parse_int=str)
        except ValueError:
            return None

    def images(self, product, request):
        kind = request.query.get("type", "main")
        if not re.fullmatch("[A-Za-z0-9_-]{1,64}", product["id"]):
            return message(
                400,
                "A product whose id has characters other than letters, digits, hyphens and underscores has no images",
            )
        if request.method == "POST":
            url = self.bucket.presigned("PUT", f"incoming_product_images/{product['id']}/{kind}.jpg")
            return reply(200, {"url": url, "expires_in": 3600})
        size = request.query.get("size", "large")
        if size not in SIZES:
            return message(400, "The parameter size is not one of small, medium, large")
        url = self.bucket.presigned("GET", f"product_images/{product['id']}/{kind}/{size}.jpg")
        return reply(200, {"download_url": url, "expires_in": 3600})
