"""The page of the template cart."""

import json
import re
import socket

from browser import OPTIONS, PHONE, PageTest, expect
import stub

RECOMMENDATIONS = [
    {
        "product_id": "24852",
        "probability": 0.8471,
        "product_name": "Banana",
        "department": "produce",
        "aisle": "fresh fruits",
    },
    {
        "product_id": "49235",
        "probability": 0.6230001,
        "product_name": "Organic Half & Half <b>with an unusually long name that has to continue on the next line</b>",
        "department": "dairy eggs",
        "aisle": "cream",
    },
    {"product_id": "13176", "probability": 0.05},
]


class Cart(PageTest):
    TEMPLATE = "cart"

    def setUp(self):
        super().setUp()
        self.api = self.served(stub.CartApi())
        self.user = self.page.get_by_label("User ID")
        self.products = self.page.get_by_label("Product IDs")
        self.send = self.page.locator("button[type=submit]")
        self.alert = self.page.locator("form [role=alert]")
        self.result = self.page.locator("#result")

    def start(self, api_url=None, **site):
        self.open(self.site(api_url or self.api.url, **site).url)

    def start_real(self):
        """The page that the options name, or that of the stand-in."""
        if OPTIONS.cart:
            self.open(OPTIONS.cart)
        else:
            self.start(OPTIONS.cart_api)
        return not (OPTIONS.cart or OPTIONS.cart_api)

    def submit(self, user="42", products=""):
        self.user.fill(user)
        self.products.fill(products)
        self.send.click()

    def sent(self):
        return [json.loads(record) for record in self.api.records]

    def test_submission(self):
        is_stub = self.start_real()
        self.seen("empty")
        self.user.fill(" 00123 ")
        self.products.fill(" 196, ,14084,A b,")
        self.page.get_by_label("Check out").check()
        self.send.click()
        expect(self.result).to_contain_text("Data sent to Kinesis successfully")
        expect(self.result.locator("dd").nth(2)).to_have_text(re.compile(r"^\d{56}$"))
        expect(self.result).to_contain_text("shardId-0000")
        expect(self.page.locator(".progress")).to_have_text("The event was sent.")
        self.seen("sent")
        if is_stub:
            [sent] = self.sent()
            self.assertRegex(sent.pop("timestamp"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertEqual(
                sent,
                {"user_id": 123, "product_ids": ["196", "14084", "A b"], "event": "checkout", "source": "web-app"},
            )

    def test_each_event(self):
        self.start()
        for count, event in enumerate(stub.EVENTS, 1):
            self.page.locator(f"[value={event}]").check()
            self.submit()
            expect(self.result.locator("dd").nth(2)).to_have_text(f"4966{count:052}")
        self.assertEqual([one["event"] for one in self.sent()], list(stub.EVENTS))

    def test_user_ids_stay_exact(self):
        self.start()
        for user, number in (("9007199254740993", None), ("9" * 38, None), ("000", "0"), ("0", None)):
            self.submit(user)
            expect(self.result.locator("dd").nth(1)).to_have_text(number or user)
            self.assertTrue(self.api.records[-1].startswith(f'{{"user_id":{number or user},'), self.api.records[-1])

    def test_invalid_fields(self):
        self.start()
        for user, products, user_error, products_error in (
            ("", "", "Enter a user ID", ""),
            ("   ", "", "Enter a user ID", ""),
            ("12a", "", "digits only", ""),
            ("-1", "", "digits only", ""),
            ("1.5", "", "digits only", ""),
            ("1e3", "", "digits only", ""),
            ("٣", "", "digits only", ""),
            ("9" * 39, "", "at most 38 digits", ""),
            ("1", "a;b", "", "letters, digits and spaces"),
            ("1", "é", "", "letters, digits and spaces"),
            ("1", "<b>", "", "letters, digits and spaces"),
            ("1", "a" * 129, "", "at most 128 characters"),
            ("1", "a," * 1001, "", "at most 1000 products"),
            ("", "a_b", "Enter a user ID", "letters, digits and spaces"),
        ):
            with self.subTest(user=user, products=products[:20]):
                self.submit(user, products)
                for field, name, message in ((self.user, "user", user_error), (self.products, "products", products_error)):
                    expect(self.page.locator(f"#{name}-error")).to_contain_text(message)
                    expect(field).to_have_attribute("aria-invalid", "true") if message else None
                    self.assertIn(f"{name}-error", field.get_attribute("aria-describedby"))
                self.assertEqual(self.focused(), "user" if user_error else "products")
        self.seen("invalid")
        self.assertEqual(self.api.requests, [])
        # The error goes when the field changes.
        self.user.fill("1")
        expect(self.page.locator("#user-error")).to_be_empty()
        self.assertIsNone(self.user.get_attribute("aria-invalid"))

    def test_recommendations(self):
        self.api.recommendations = RECOMMENDATIONS
        self.start()
        self.submit()
        table = self.page.get_by_role("table", name="Recommended products")
        rows = table.get_by_role("row")
        expect(rows).to_have_count(4)
        expect(rows.nth(0)).to_have_text("ProductDepartmentAisleProbability")
        expect(rows.nth(1)).to_have_text("Banana24852producefresh fruits84.7\u00a0%")
        expect(rows.nth(2)).to_contain_text("Half <b>with")
        expect(rows.nth(3)).to_have_text("13176––5.0\u00a0%")
        self.page.set_viewport_size(PHONE)
        expect(table.get_by_role("row")).to_have_count(4)
        self.result.evaluate("(one) => one.scrollIntoView()")
        self.seen("recommendations")
        self.api.recommendations = []
        self.submit()
        expect(self.result).to_contain_text("no recommendations for this user")
        self.seen("no-recommendations")

    def test_direct_variant(self):
        self.api = self.served(stub.CartApi(direct=True))
        self.start(f"{self.api.url}/prod")
        self.submit("7", "1,2")
        expect(self.result).to_contain_text("Data sent to Kinesis successfully")
        self.assertEqual(self.sent()[0]["product_ids"], ["1", "2"])
        self.expect_failures()
        self.api.fault = (400, "Stream api-kinesis-stream under account 000000000000 not found.")
        self.submit()
        expect(self.alert).to_contain_text("The API answered with status 400")
        expect(self.alert).to_contain_text("Stream api-kinesis-stream under account")
        expect(self.result).to_be_empty()

    def test_errors_of_the_api(self):
        self.expect_failures()
        self.start()
        for status, message in (
            (400, "The field user_id is not a whole number"),
            (403, "Forbidden"),
            (404, "Not Found"),
            (413, "The submission is larger than 1 MiB"),
            (429, "Too Many Requests"),
            (500, "The record could not be sent to Kinesis"),
            (503, "Kinesis does not accept the record at the moment; try again"),
        ):
            self.api.fault = (status, message)
            self.submit()
            expect(self.alert).to_contain_text(f"status {status}")
            expect(self.alert).to_contain_text(message)
            expect(self.result).to_be_empty()
        self.seen("error")
        self.assertEqual(self.user.input_value(), "42")
        self.api.fault = None
        self.send.click()
        expect(self.result).to_contain_text("Data sent")
        expect(self.alert).to_be_empty()

    def test_answers_that_are_not_valid(self):
        self.start()
        self.api.fault = "text"
        self.submit()
        expect(self.alert).to_contain_text("The answer of the API is not valid")
        self.api.fault = (200, "Data sent")
        self.send.click()
        expect(self.alert).to_contain_text("It does not say where the event was stored")

    def test_network_errors(self):
        self.expect_failures()
        self.start()
        self.api.fault = "drop"
        self.submit()
        expect(self.alert).to_contain_text("The API could not be reached")
        expect(self.alert).to_contain_text("not known whether the request was carried out")
        self.page.context.set_offline(True)
        self.send.click()
        expect(self.alert).to_contain_text("This device is offline")

    def test_refused_connection(self):
        self.expect_failures()
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            self.start(f"http://127.0.0.1:{closed.getsockname()[1]}")
            self.submit()
            expect(self.alert).to_contain_text("The API could not be reached")

    def test_slow_answer(self):
        self.page.clock.install()
        self.api.fault = "hang"
        self.start()
        self.submit()
        progress = self.page.locator(".progress")
        expect(self.send).to_have_text("Sending…")
        expect(self.send).to_have_attribute("aria-disabled", "true")
        self.page.clock.fast_forward(3000)
        expect(progress).to_have_text("The API has not answered yet. This page still waits.")
        self.seen("waiting")
        for motion, animation in (("reduce", "none"), ("no-preference", "turn")):
            self.page.emulate_media(reduced_motion=motion)
            self.assertEqual(self.send.evaluate("(one) => getComputedStyle(one, '::before').animationName"), animation)
        # Neither a click nor the key sends it again.
        self.send.click(force=True)
        self.user.press("Enter")
        self.page.clock.fast_forward(35_000)
        expect(self.alert).to_contain_text("did not answer within 35 seconds")
        expect(self.send).to_have_text("Send event")
        expect(progress).to_be_empty()
        self.assertEqual([one.method for one in self.api.requests], ["OPTIONS", "POST"])

    def test_configuration(self):
        self.expect_failures()
        for config, problem in (
            (404, "could not be loaded (status 404)"),
            (None, "is not valid JSON"),
            ("{", "is not valid JSON"),
            ("null", "has no api_url"),
            ("{}", "has no api_url"),
            ('{"api_url": ""}', "has no api_url"),
            ('{"api_url": 7}', "has an api_url that is not"),
            ('{"api_url": "/submit"}', "has an api_url that is not"),
            ('{"api_url": "javascript:alert(1)"}', "has an api_url that is not"),
            ('{"api_url": "https://a.example/?x=1"}', "has an api_url that is not"),
        ):
            with self.subTest(config=config):
                self.start(config=config)
                expect(self.page.locator("#setup")).to_contain_text("This page is not set up")
                expect(self.page.locator("#setup")).to_contain_text(problem)
        self.seen("not-set-up")
        self.submit()
        expect(self.alert).to_contain_text("This page is not set up")
        self.assertEqual(self.api.requests, [])

    def test_an_url_with_a_slash_at_its_end(self):
        self.api = self.served(stub.CartApi(direct=True))
        self.start(config=f'{{"api_url": "{self.api.url}/prod/"}}')
        self.submit()
        expect(self.result).to_contain_text("Data sent")

    def test_keyboard_only(self):
        self.start()
        self.tab_to("user")
        self.page.keyboard.type("77")
        self.assertTrue(self.has_ring())
        self.tab_to("products")
        self.page.keyboard.type("5,6")
        self.page.keyboard.press("Tab")
        self.assertTrue(self.has_ring())
        self.page.keyboard.press("ArrowDown")
        self.tab_to("Send event")
        self.assertTrue(self.has_ring())
        self.page.keyboard.press("Enter")
        expect(self.result).to_contain_text("Data sent")
        self.assertEqual(self.focused(), "Send event")
        self.assertEqual(self.sent()[0]["event"], "remove_from_cart")
