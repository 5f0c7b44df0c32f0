"""The page of the template prices."""

import io
import re
import tempfile
import threading
import uuid

from PIL import Image

from browser import OPTIONS, PHONE, PageTest, expect
import stub

LONG = "A product with a name that is far longer than a line, and aWordThatNoLineOfAPhoneCanHoldSinceItHasNoPlaceToBreak"
PRODUCTS = [
    {"id": "P0001", "name": "Kettle", "category": "kitchen", "price": "29.99"},
    {"id": "P0002", "name": "Desk lamp", "category": "home", "price": "12345678901234567890.123456789"},
    {"id": "P0010", "name": "Coffee grinder", "category": "kitchen", "price": "0.1"},
    {"id": "P0003", "name": LONG, "category": "c" * 40, "price": "1"},
    {"id": "no/name", "category": "home"},
]


def image(kind, left="red"):
    """An image with a left half of this colour and a blue right one."""
    picture = Image.new("RGB", (400, 300), "blue")
    picture.paste(left, (0, 0, 200, 300))
    content = io.BytesIO()
    picture.save(content, kind)
    return {"name": f"photo.{kind.lower()}", "mimeType": f"image/{kind.lower()}", "buffer": content.getvalue()}


class Products(PageTest):
    TEMPLATE = "prices"

    def setUp(self):
        super().setUp()
        self.api = self.served(stub.ProductsApi(PRODUCTS))
        self.rows = self.page.locator("tbody tr")
        self.status = self.page.locator("#status")
        self.alert = self.page.locator("#alert")
        self.dialog = self.page.locator("dialog[open]")

    def start(self, api_url=None):
        api_url = api_url or self.api.url
        # The bucket of another API is elsewhere.
        bucket = self.api.bucket.url if api_url == self.api.url else "http: https:"
        self.open(self.site(api_url, bucket).url)

    def start_real(self):
        """The page that the options name, or that of the stand-in."""
        if OPTIONS.prices:
            self.open(OPTIONS.prices)
        else:
            self.start(OPTIONS.prices_api)

    def row(self, name):
        return self.rows.filter(has=self.page.get_by_role("rowheader").filter(has_text=name))

    def act(self, name, action):
        self.row(name).get_by_role("button", name=action).click()

    def names(self):
        return self.page.locator("tbody th").evaluate_all("(all) => all.map((one) => one.firstChild.data)")

    def bodies(self, method):
        return [one.body.decode() for one in self.api.requests if one.method == method]

    def test_list(self):
        self.start()
        expect(self.rows).to_have_count(5)
        expect(self.status).to_have_text("5 products")
        self.assertEqual(self.names(), [LONG, "Coffee grinder", "Desk lamp", "Kettle", "no/name"])
        # Numbers are shown as they are stored.
        expect(self.row("Desk lamp").locator(".price")).to_have_text("12345678901234567890.123456789")
        expect(self.row("Coffee").locator(".price")).to_have_text("0.1")
        expect(self.row("no/name").locator(".price")).to_have_text("–")
        self.seen("list")

    def test_empty_states(self):
        self.api.products.clear()
        self.start()
        expect(self.page.locator("#list")).to_contain_text("There are no products yet")
        expect(self.status).to_have_text("0 products")
        self.seen("no-products")
        self.api.products["P1"] = {"id": "P1", "name": "One", "category": "only"}
        self.page.get_by_role("button", name="Refresh").click()
        expect(self.status).to_have_text("1 product")
        self.page.get_by_label("Name or ID").fill("two")
        expect(self.page.locator("#list")).to_contain_text("No product has this name or ID")
        del self.api.products["P1"]
        self.page.get_by_label("Category").first.select_option("only")
        expect(self.page.locator("#list")).to_contain_text("There are no products in this category")

    def test_filters(self):
        self.start()
        expect(self.rows).to_have_count(5)
        category = self.page.locator("#category")
        self.assertEqual(
            category.locator("option").all_text_contents(), ["All categories", "c" * 40, "home", "kitchen"]
        )
        category.select_option("kitchen")
        expect(self.status).to_have_text("2 products")
        self.assertEqual(self.names(), ["Coffee grinder", "Kettle"])
        self.assertEqual(self.api.requests[-1].target, "/products?category=kitchen")
        self.page.get_by_label("Name or ID").fill(" p0001")
        expect(self.rows).to_have_count(1)
        category.select_option("")
        expect(self.rows).to_have_count(1)
        self.page.get_by_label("Name or ID").fill("")
        expect(self.rows).to_have_count(5)

    def test_an_answer_that_comes_late_does_not_count(self):
        self.start()
        expect(self.rows).to_have_count(5)
        respond, late = self.api.respond, threading.Event()
        self.addCleanup(late.set)

        def delayed(request):
            if request.target.endswith("=home"):
                late.wait(10)
            return respond(request)

        self.api.respond = delayed
        category = self.page.locator("#category")
        category.select_option("home")
        category.select_option("kitchen")
        expect(self.rows).to_have_count(2)
        with self.page.expect_event("requestfinished", lambda request: request.url.endswith("=home")):
            late.set()
        self.page.evaluate("() => new Promise((done) => setTimeout(done))")
        self.assertEqual(self.names(), ["Coffee grinder", "Kettle"])
        expect(self.status).to_have_text("2 products")

    def test_a_thousand_products(self):
        for number in range(1000):
            one = {"id": f"N{number}", "name": f"Item {number}", "category": f"group {number % 30}", "price": f"{number}.5"}
            self.api.products[one["id"]] = one
        self.start()
        expect(self.status).to_have_text("1,005 products")
        expect(self.rows).to_have_count(50)
        expect(self.page.locator("#range")).to_have_text("1–50 of 1,005")
        expect(self.page.get_by_role("button", name="Previous")).to_be_disabled()
        seen = self.names()
        for _ in range(20):
            self.page.get_by_role("button", name="Next").click()
            seen += self.names()
        self.assertEqual(len(set(seen)), 1005)
        expect(self.page.locator("#range")).to_have_text("1,001–1,005 of 1,005")
        expect(self.page.get_by_role("button", name="Next")).to_be_disabled()
        self.page.get_by_role("button", name="Previous").click()
        self.page.locator("#pages").scroll_into_view_if_needed()
        self.seen("thousand")
        self.page.get_by_label("Name or ID").fill("Item 777")
        expect(self.rows).to_have_count(1)
        expect(self.page.locator("#pages")).to_be_hidden()

    def test_more_products_than_an_answer_holds(self):
        self.expect_failures()
        self.api.too_many = True
        self.start()
        field = self.page.locator("#one")
        expect(field).to_be_focused()
        self.seen("too-many")
        field.press("Enter")
        expect(self.page.locator("#one-error")).to_have_text("Enter a category.")
        field.fill("home")
        field.press("Enter")
        expect(self.rows).to_have_count(2)
        expect(self.page.locator("#category")).to_have_value("home")
        expect(field).to_be_hidden()

    def test_add_edit_and_delete(self):
        self.start_real()
        name = f"Teapot {uuid.uuid4().hex[:6]}"
        self.page.get_by_role("button", name="Add product").click()
        expect(self.dialog.get_by_label("Name")).to_be_focused()
        self.seen("add")
        self.dialog.get_by_label("Name").fill(f"  {name} ")
        self.dialog.get_by_label("Category").fill("kitchen & \"more\"")
        self.dialog.get_by_label("Price").fill("0012.3400000000000000000000000000000001")
        self.dialog.get_by_role("button", name="Add").click()
        expect(self.status).to_have_text(f"{name} is added.")
        expect(self.dialog).to_have_count(0)
        self.assertEqual(self.focused(), "add")
        expect(self.row(name).locator(".price")).to_have_text("12.3400000000000000000000000000000001")

        self.act(name, "Edit price")
        expect(self.dialog.get_by_label("Price")).to_have_value("12.3400000000000000000000000000000001")
        self.seen("price")
        self.dialog.get_by_label("Price").fill("9007199254740993.10")
        self.page.keyboard.press("Enter")
        expect(self.status).to_have_text(f"The price of {name} is 9007199254740993.1.")
        expect(self.row(name).locator(".price")).to_have_text("9007199254740993.1")
        expect(self.row(name).get_by_role("button", name="Edit price")).to_be_focused()

        self.act(name, "Delete")
        expect(self.dialog.get_by_role("button", name="Cancel")).to_be_focused()
        self.seen("delete")
        self.page.keyboard.press("Escape")
        expect(self.dialog).to_have_count(0)
        expect(self.row(name)).to_have_count(1)
        self.act(name, "Delete")
        self.dialog.get_by_role("button", name="Delete").click()
        expect(self.status).to_have_text(f"{name} is deleted.")
        expect(self.row(name)).to_have_count(0)
        self.page.get_by_role("button", name="Refresh").click()
        expect(self.status).to_have_text(re.compile("^[0-9,]+ products?$"))
        expect(self.row(name)).to_have_count(0)

    def test_what_is_sent(self):
        self.start()
        self.page.get_by_role("button", name="Add product").click()
        self.dialog.get_by_label("Name").fill('A "b" <i>')
        self.dialog.get_by_label("Price").fill(".5")
        self.page.keyboard.press("Enter")
        expect(self.row("<i>")).to_have_count(1)
        self.act("Kettle", "Edit price")
        self.dialog.get_by_label("Price").fill("007.50")
        self.page.keyboard.press("Enter")
        expect(self.row("Kettle").locator(".price")).to_have_text("7.5")
        self.assertEqual(self.bodies("POST"), ['{"name":"A \\"b\\" <i>","price":0.5}'])
        self.assertEqual(self.bodies("PUT"), ['{"price":7.50}'])
        # An ID is a single segment of the path.
        self.act("no/name", "Delete")
        self.dialog.get_by_role("button", name="Delete").click()
        expect(self.row("no/name")).to_have_count(0)
        self.assertEqual(self.api.requests[-1].target, "/products/no%2Fname")

    def test_invalid_fields(self):
        self.start()
        self.page.get_by_role("button", name="Add product").click()
        self.dialog.get_by_role("button", name="Add").click()
        expect(self.page.locator("#new-name-error")).to_have_text("Enter a name.")
        expect(self.page.locator("#new-price-error")).to_have_text("Enter a price.")
        expect(self.dialog.get_by_label("Name")).to_be_focused()
        self.dialog.get_by_label("Category").fill("é" * 513)
        self.dialog.get_by_role("button", name="Add").click()
        expect(self.page.locator("#new-category-error")).to_contain_text("at most 1024 bytes")
        self.seen("invalid-product")
        self.page.keyboard.press("Escape")
        self.act("Kettle", "Edit price")
        for text, message in (
            ("", "Enter a price."),
            ("-1", "A price has digits"),
            ("1,50", "A price has digits"),
            ("1e3", "A price has digits"),
            (".", "A price has digits"),
            ("1.2.3", "A price has digits"),
            ("9" * 39, "at most 38 digits"),
            ("0." + "0" * 100 + "1", "at most 38 digits"),
        ):
            self.dialog.get_by_label("Price").fill(text)
            self.page.keyboard.press("Enter")
            expect(self.page.locator("#price-error")).to_contain_text(message)
            expect(self.dialog.get_by_label("Price")).to_be_focused()
        self.assertEqual(self.bodies("POST") + self.bodies("PUT"), [])
        # A dialog opens without the errors of before.
        self.page.keyboard.press("Escape")
        self.act("Kettle", "Edit price")
        expect(self.page.locator("#price-error")).to_be_empty()
        expect(self.dialog.get_by_label("Price")).to_have_value("29.99")

    def test_errors_of_changes(self):
        self.expect_failures()
        self.start()
        self.act("Kettle", "Edit price")
        self.api.fault = (503, "The table is busy; try again")
        self.page.keyboard.press("Enter")
        alert = self.dialog.get_by_role("alert")
        expect(alert).to_contain_text("The API answered with status 503")
        expect(alert).to_contain_text("The table is busy")
        self.seen("price-error")
        self.api.fault = "drop"
        self.page.keyboard.press("Enter")
        expect(alert).to_contain_text("not known whether the request was carried out")
        self.api.fault = None
        # Someone else deletes it.
        del self.api.products["P0001"]
        self.page.keyboard.press("Enter")
        expect(alert).to_contain_text("Product not found")
        self.page.keyboard.press("Escape")
        self.act("Kettle", "Delete")
        self.dialog.get_by_role("button", name="Delete").click()
        expect(self.status).to_have_text("Kettle is deleted.")

    def test_a_change_is_sent_once_and_not_left(self):
        self.page.clock.install()
        self.expect_failures()
        self.start()
        self.act("Kettle", "Edit price")
        self.api.fault = "hang"
        self.page.keyboard.press("Enter")
        expect(self.dialog.get_by_role("button", name="Saving…")).to_have_attribute("aria-disabled", "true")
        self.page.keyboard.press("Enter")
        self.page.keyboard.press("Escape")
        self.dialog.get_by_role("button", name="Cancel").click()
        expect(self.dialog).to_have_count(1)
        self.page.clock.fast_forward(36_000)
        expect(self.dialog.get_by_role("alert")).to_contain_text("did not answer within 35 seconds")
        self.assertEqual(len(self.bodies("PUT")), 1)

    def test_errors_of_the_list(self):
        self.expect_failures()
        self.api.fault = (500, "The request could not be processed")
        self.start()
        expect(self.alert).to_contain_text("The request could not be processed")
        expect(self.status).to_be_empty()
        self.seen("list-error")
        refresh = self.page.get_by_role("button", name="Refresh")
        for fault, text in (("drop", "could not be reached"), ("text", "not a list"), ((200, "x"), "not a list")):
            self.api.fault = fault
            refresh.click()
            expect(self.alert).to_contain_text(text)
        self.api.fault = None
        refresh.click()
        expect(self.rows).to_have_count(5)
        expect(self.alert).to_be_empty()

    def test_without_a_configuration(self):
        self.expect_failures()
        self.open(self.site(self.api.url, config=403).url)
        expect(self.alert).to_contain_text("This page is not set up")
        expect(self.alert).to_contain_text("status 403")

    def add(self, name):
        self.page.get_by_role("button", name="Add product").click()
        self.dialog.get_by_label("Name").fill(name)
        self.dialog.get_by_label("Price").fill("1")
        self.page.keyboard.press("Enter")
        expect(self.status).to_have_text(f"{name} is added.")

    def sizes(self):
        return self.dialog.locator("img").evaluate_all("(all) => all.map((one) => [one.naturalWidth, one.naturalHeight])")

    def colours(self):
        """Red, green and blue left of the middle of each size: 0 or 1."""
        return self.dialog.locator("img").evaluate_all(
            """(all) => all.map((image) => {
                const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext("2d");
                canvas.drawImage(image, 0, 0);
                const [x, y] = [image.naturalWidth * 0.4, image.naturalHeight / 2];
                return [...canvas.getImageData(x, y, 1, 1).data].slice(0, 3).map((one) => Math.round(one / 255));
            })"""
        )

    def test_upload(self):
        self.start_real()
        name = f"Camera {uuid.uuid4().hex[:6]}"
        self.add(name)
        self.act(name, "Image")
        expect(self.dialog).to_contain_text("This product has no image yet.")
        self.seen("no-image")
        # A second image takes the place of the first.
        for kind, left, colour in (("JPEG", "red", [1, 0, 0]), ("PNG", "lime", [0, 1, 0]), ("WEBP", "white", [1, 1, 1])):
            self.dialog.get_by_label("Image file").set_input_files(image(kind, left))
            self.dialog.get_by_role("button", name="Upload").click()
            expect(self.dialog.locator(".progress")).to_have_text("The three sizes are ready.", timeout=30_000)
            self.assertEqual(self.sizes(), [list(size) for size in stub.SIZES.values()])
            self.assertEqual(self.colours(), [colour] * 3)
        self.seen("image")
        self.dialog.get_by_role("button", name="Close").click()
        expect(self.row(name).get_by_role("button", name="Image")).to_be_focused()
        self.act(name, "Image")
        expect(self.dialog.locator("img")).to_have_count(3)
        expect(self.dialog.get_by_alt_text(f"{name}, small image")).to_be_visible()
        self.page.keyboard.press("Escape")
        self.act(name, "Delete")
        self.dialog.get_by_role("button", name="Delete").click()
        expect(self.status).to_have_text(f"{name} is deleted.")

    def test_files_that_are_no_images(self):
        self.start()
        self.act("Kettle", "Image")
        error = self.page.locator("#file-error")
        for content, message in (
            (None, "Choose a file."),
            (b"", "not a JPEG, PNG or WebP"),
            (b"GIF89a, and more", "not a JPEG, PNG or WebP"),
            (b"RIFF1234WAVEfmt", "not a JPEG, PNG or WebP"),
        ):
            if content is not None:
                one = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": content}
                self.dialog.get_by_label("Image file").set_input_files(one)
            self.dialog.get_by_role("button", name="Upload").click()
            expect(error).to_contain_text(message)
        with tempfile.NamedTemporaryFile(suffix=".jpg") as large:
            large.truncate((32 << 20) + 1)
            self.dialog.get_by_label("Image file").set_input_files(large.name)
            self.dialog.get_by_role("button", name="Upload").click()
            expect(error).to_contain_text("larger than 32 MiB")
        self.seen("no-image-file")
        self.assertEqual(self.bodies("POST"), [])

    def upload(self):
        self.act("Kettle", "Image")
        self.dialog.get_by_label("Image file").set_input_files(image("JPEG"))
        self.dialog.get_by_role("button", name="Upload").click()

    def test_sizes_that_do_not_appear(self):
        self.page.clock.install()
        self.api.looks = None
        self.start()
        self.upload()
        expect(self.dialog.locator(".progress")).to_have_text("The image is uploaded. Waiting for its three sizes.")
        self.seen("waiting-for-sizes")
        alert = self.dialog.get_by_role("alert")
        looks = len(self.api.requests)
        for _ in range(100):
            if alert.text_content():
                break
            # Longer than a pause. A look that is on its way is awaited after it.
            self.page.clock.fast_forward(5500)
            self.page.wait_for_timeout(20)
        self.assertGreaterEqual(len(self.api.requests) - looks, 3)
        expect(alert).to_contain_text("The sizes did not appear within 60 seconds")
        expect(alert).to_contain_text("image-processor")
        self.seen("no-sizes")

    def test_an_upload_that_stops(self):
        self.page.clock.install()
        self.api.bucket.fault = "hang"
        self.start()
        self.upload()
        bar = self.dialog.get_by_role("progressbar", name="Upload")
        expect(bar).to_be_visible()
        expect(bar).to_have_js_property("value", 1)
        expect(self.dialog.locator(".progress")).to_have_text("Uploading the image.")
        self.seen("uploading")
        self.page.clock.fast_forward(61_000)
        expect(self.dialog.get_by_role("alert")).to_contain_text("It made no progress for 60 seconds")
        expect(bar).to_be_hidden()

    def test_a_look_that_fails_is_repeated(self):
        self.expect_failures()
        self.api.looks = 1
        self.start()
        self.act("Kettle", "Image")
        uploaded = self.api.bucket.uploaded

        def fail(key, body):
            uploaded(key, body)
            self.api.fault = (503, "The table is busy; try again")

        self.api.bucket.uploaded = fail
        respond = self.api.respond

        def recover(request):
            answer = respond(request)
            if answer and answer.status == 503:
                self.api.fault = None
            return answer

        self.api.respond = recover
        self.dialog.get_by_label("Image file").set_input_files(image("PNG"))
        self.dialog.get_by_role("button", name="Upload").click()
        expect(self.dialog.locator(".progress")).to_have_text("The three sizes are ready.")
        self.assertTrue(any("503" in text for text in self.errors))

    def test_errors_of_the_bucket(self):
        self.expect_failures()
        self.start()
        alert = self.dialog.get_by_role("alert")
        self.api.bucket.fault = (403, "AccessDenied", "Request has expired")
        self.upload()
        expect(alert).to_contain_text("The bucket refused the image (status 403)")
        expect(alert).to_contain_text("Request has expired")
        self.api.bucket.fault = "drop"
        self.dialog.get_by_role("button", name="Upload").click()
        expect(alert).to_contain_text("The image could not be uploaded")
        self.seen("upload-error")
        self.page.keyboard.press("Escape")
        self.api.bucket.fault = None
        # The sizes are recorded, and gone.
        self.api.products["P0001"]["images"] = {"main": list(stub.SIZES)}
        self.page.get_by_role("button", name="Refresh").click()
        expect(self.status).to_have_text("5 products")
        self.act("Kettle", "Image")
        expect(self.dialog.locator("figure")).to_have_count(3)
        expect(self.dialog.locator("figure").first).to_contain_text("The image could not be loaded (status 404)")
        self.seen("missing-sizes")

    def test_a_product_whose_id_allows_no_images(self):
        self.expect_failures()
        self.start()
        self.act("no/name", "Image")
        self.dialog.get_by_label("Image file").set_input_files(image("JPEG"))
        self.dialog.get_by_role("button", name="Upload").click()
        expect(self.dialog.get_by_role("alert")).to_contain_text("has no images")

    def test_closing_ends_the_wait(self):
        self.api.looks = None
        self.start()
        self.upload()
        expect(self.dialog.locator(".progress")).to_contain_text("Waiting")
        self.page.keyboard.press("Escape")
        expect(self.dialog).to_have_count(0)
        self.act("Desk lamp", "Image")
        expect(self.dialog.get_by_role("button", name="Upload")).to_have_attribute("aria-disabled", "false")
        expect(self.dialog.get_by_role("alert")).to_be_empty()
        expect(self.dialog.locator(".progress")).to_be_empty()

    def test_keyboard_only(self):
        self.page.set_viewport_size(PHONE)
        self.start()
        expect(self.rows).to_have_count(5)
        self.tab_to("Edit price Kettle")
        self.assertTrue(self.has_ring())
        self.page.keyboard.press("Enter")
        self.page.keyboard.type("31")
        self.page.keyboard.press("Enter")
        expect(self.row("Kettle").locator(".price")).to_have_text("31")
        self.page.keyboard.press("Tab")
        self.page.keyboard.press("Tab")
        self.assertEqual(self.focused(), "Delete Kettle")
        self.page.keyboard.press("Enter")
        # The focus stays in the dialog, and Enter there deletes nothing.
        self.page.keyboard.press("Enter")
        expect(self.dialog).to_have_count(0)
        self.assertEqual(self.focused(), "Delete Kettle")
        self.page.keyboard.press("Enter")
        self.page.keyboard.press("Shift+Tab")
        self.assertEqual(self.focused(), "Delete")
        self.assertTrue(self.has_ring())
        self.page.keyboard.press("Enter")
        expect(self.rows).to_have_count(4)
