"""Runs the tests of the pages. Started by tests/web/run, which installs what they need."""

import argparse
import sys
import unittest

import browser

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for option in ("--cart", "--prices", "--cart-api", "--prices-api", "--screenshots"):
        parser.add_argument(option)
    options, rest = parser.parse_known_args()
    browser.OPTIONS = options
    from test_cart import Cart  # noqa: F401
    from test_files import Files  # noqa: F401
    from test_products import Products  # noqa: F401
    from test_stub import Stub  # noqa: F401

    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
