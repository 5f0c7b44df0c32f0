"""What the tests of both pages share: the browser, and what must hold in each state of a page."""

import atexit
import functools
import os
import pathlib
import re
import unittest

from playwright.sync_api import expect, sync_playwright

import stub

TEMPLATES = pathlib.Path(__file__).resolve().parents[2] / "templates"
PHONE, DESKTOP = {"width": 360, "height": 740}, {"width": 1280, "height": 800}
# The narrowest width of WCAG 2.2, 1.4.10 Reflow; and a window of 1280 pixels at a zoom of 200 %.
NARROWEST, ZOOMED = {"width": 320, "height": 740}, {"width": 640, "height": 400}
OPTIONS = None
# The local cloud with the deployed pages, if there is one.
CLOUD = None
PATIENCE_MS = 10_000
expect.set_options(timeout=PATIENCE_MS)


@functools.cache
def chromium():
    playwright = sync_playwright().start()
    # Chromium refuses its sandbox to root, and a container has a small /dev/shm.
    arguments = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=arguments)
    atexit.register(lambda: (browser.close(), playwright.stop()))
    return browser


class PageTest(unittest.TestCase):
    """A test with a page of its own. Each error in the console fails it, unless it is one that the test expects."""

    TEMPLATE = ""

    def setUp(self):
        context = chromium().new_context(viewport=DESKTOP, locale="en-GB")
        self.addCleanup(context.close)
        context.set_default_timeout(PATIENCE_MS)
        self.page = context.new_page()
        self.errors = []
        self.expected = None
        self.page.on("console", lambda one: one.type in ("error", "warning") and self.errors.append(one.text))
        self.page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))
        self.page.on("dialog", lambda dialog: self.errors.append(f"dialog: {dialog.message}"))

    def tearDown(self):
        unexpected = [text for text in self.errors if not (self.expected and re.search(self.expected, text))]
        self.assertEqual(unexpected, [], "errors in the console")

    def expect_failures(self, pattern=r"Failed to load resource"):
        """The browser writes each failed request to the console."""
        self.expected = pattern

    def served(self, server):
        self.addCleanup(server.stop)
        return server

    def site(self, api_url, *allowed, config="url"):
        """Serves the page, which may reach its API at `api_url`, and `allowed`. `config` replaces config.json."""
        if config == "url":
            config = f'{{"api_url": "{api_url}"}}'
        return self.served(stub.Site(TEMPLATES / self.TEMPLATE / "web", config, (api_url, *allowed)))

    def open(self, url):
        self.page.goto(url)

    def seen(self, state):
        """Checks a state of the page: it fits, axe-core has no complaint; and takes its pictures."""
        before = self.page.viewport_size
        for size in (NARROWEST, ZOOMED):
            self.page.set_viewport_size(size)
            self.fits(state)
        # Text alone at 200 % (1.4.4 Resize Text).
        self.page.set_viewport_size(DESKTOP)
        self.page.evaluate("document.documentElement.style.fontSize = '200%'")
        self.fits(state)
        self.page.evaluate("document.documentElement.style.fontSize = ''")
        for device, size in (("phone", PHONE), ("desktop", DESKTOP)):
            self.page.set_viewport_size(size)
            self.fits(state)
            for theme in ("light", "dark"):
                self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
                with self.subTest(state=state, device=device, theme=theme):
                    self.assertEqual(self.violations(), [])
                self.picture(f"{self.TEMPLATE}-{state}-{device}-{theme}")
        self.page.emulate_media(color_scheme="light", reduced_motion="no-preference")
        self.page.set_viewport_size(before)

    def fits(self, state):
        overflow = self.page.evaluate(
            """() => [document.documentElement, ...document.querySelectorAll("dialog[open]")]
                .map((one) => one.scrollWidth - one.clientWidth)"""
        )
        wider = [one for one in overflow if one > 0]
        self.assertEqual(wider, [], f"{state} is wider than the window {self.page.viewport_size}")

    def violations(self):
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(pathlib.Path(os.environ["AXE"]).read_text())
        result = self.page.evaluate("axe.run(document, {resultTypes: ['violations', 'incomplete']})")
        # A contrast that axe-core cannot compute is a violation too.
        found = result["violations"] + [one for one in result["incomplete"] if one["id"] == "color-contrast"]
        return [f"{one['id']}: {node['html']} {node['failureSummary']}" for one in found for node in one["nodes"]]

    def picture(self, name):
        if OPTIONS.screenshots:
            os.makedirs(OPTIONS.screenshots, exist_ok=True)
            self.page.screenshot(path=f"{OPTIONS.screenshots}/{name}.png")

    def focused(self):
        """The ID or the text of the element that has the focus."""
        return self.page.evaluate("document.activeElement.id || document.activeElement.textContent")

    def tab_to(self, wanted, limit=40):
        """Presses Tab until `wanted` has the focus."""
        for _ in range(limit):
            self.page.keyboard.press("Tab")
            if self.focused() == wanted:
                return
        self.fail(f"the key Tab does not reach {wanted}")

    def has_ring(self):
        """Whether the focus is visible."""
        return self.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
