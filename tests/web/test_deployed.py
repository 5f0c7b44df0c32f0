"""The pages as `setup` deploys them on the local cloud, and what their requests do there."""

import json

import browser
from browser import PageTest, expect


class Deployed(PageTest):
    def deployed(self, template):
        """Opens the page at the URL that streamctl prints. Returns the outputs of the pipeline."""
        outputs = browser.CLOUD.outputs.get(template) if browser.CLOUD else None
        if outputs is None:
            self.skipTest(f"no local cloud has the pipeline {template}")
        self.TEMPLATE = template
        self.assertEqual(browser.CLOUD.run("open", template, "--print").strip(), outputs["page_url"])
        self.open(outputs["page_url"])
        return outputs

    def test_prices_from_the_stream(self):
        outputs = self.deployed("prices")
        expect(self.page.locator("#status")).to_have_text("0 products")
        self.seen("deployed-empty")
        browser.CLOUD.run("sample", "load", "prices")
        products = json.loads((browser.TEMPLATES / "prices/products.json").read_text())
        self.page.get_by_role("button", name="Refresh").click()
        expect(self.page.locator("#status")).to_have_text(f"{len(products)} products")
        self.seen("deployed")
        # A record of the stream changes a price.
        record = f"{browser.CLOUD.directory.name}/record.json"
        with open(record, "w") as file:
            json.dump({"product_id": products[0]["id"], "price": 1234567.89}, file)
        stream = outputs["stream_name"]
        browser.CLOUD.run("put", "--stream", stream, "--file", record, "--partition-key-field", "product_id")
        price = self.page.locator("tbody tr").filter(has_text=products[0]["id"]).locator(".price")
        for _ in range(100):
            self.page.get_by_role("button", name="Refresh").click()
            expect(self.page.locator("#status")).to_have_text(f"{len(products)} products")
            if price.text_content() == "1234567.89":
                break
            self.page.wait_for_timeout(100)
        expect(price).to_have_text("1234567.89")

    def test_cart_to_the_stream(self):
        self.submits("cart")

    def test_cart_direct_to_the_stream(self):
        outputs = self.submits("cart-direct")
        # An error of Kinesis is an error of the API.
        self.expect_failures()
        browser.CLOUD.run("delete", outputs["stream_name"], "--yes")
        self.page.locator("button[type=submit]").click()
        expect(self.page.locator("form [role=alert]")).to_contain_text("The API answered with status 500")
        expect(self.page.locator("#result")).to_be_empty()

    def submits(self, template):
        """Submits an event by the page, and finds it in the stream. Returns the outputs."""
        outputs = self.deployed(template)
        self.page.get_by_label("User ID").fill("9007199254740993")
        self.page.get_by_label("Product IDs").fill("196, 14084")
        self.page.locator("button[type=submit]").click()
        expect(self.page.locator("#result")).to_contain_text("Data sent to Kinesis successfully")
        self.seen("deployed")
        lines = browser.CLOUD.run(
            "tail", "--stream", outputs["stream_name"], "--from", "trim", "--no-follow", "-o", "json"
        )
        self.assertIn("9007199254740993", lines)
        return outputs

    def test_a_file_that_does_not_exist_is_refused(self):
        outputs = self.deployed("prices")
        self.expect_failures()
        self.assertEqual(self.page.goto(f"{outputs['page_url']}/none.html").status, 403)
