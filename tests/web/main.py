"""Runs the tests of the pages. Started by tests/web/run, which installs what they need."""

import argparse
import contextlib
import sys
import unittest

import browser
from cloud import Cloud

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for option in ("--streamctl", "--cart", "--prices", "--cart-api", "--prices-api", "--screenshots"):
        parser.add_argument(option)
    options, rest = parser.parse_known_args()
    browser.OPTIONS = options
    with contextlib.ExitStack() as stack:
        if options.streamctl:
            browser.CLOUD = stack.enter_context(Cloud(options.streamctl))
            for template, outputs in browser.CLOUD.outputs.items():
                setattr(options, template, outputs["page_url"])
                setattr(options, f"{template}_api", outputs["api_url"])
        from test_cart import Cart  # noqa: F401
        from test_deployed import Deployed  # noqa: F401
        from test_files import Files  # noqa: F401
        from test_products import Products  # noqa: F401
        from test_stub import Stub  # noqa: F401

        ended = unittest.main(argv=[sys.argv[0], *rest], verbosity=2, exit=False)
    sys.exit(not ended.result.wasSuccessful())
