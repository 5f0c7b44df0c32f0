"""What can be said of the files of the pages without a browser."""

import gzip
import re
import unittest

from browser import TEMPLATES

PAGES = [TEMPLATES / name / "web" for name in ("cart", "prices")]


class Files(unittest.TestCase):
    def test_shared_files_are_equal(self):
        for name in ("common.js", "common.css"):
            one, other = ((page / name).read_bytes() for page in PAGES)
            self.assertEqual(one, other, f"the copies of {name} differ")

    def test_pages_are_small(self):
        for page in PAGES:
            files = [path.read_bytes() for path in page.iterdir()]
            sent = sum(len(gzip.compress(content)) for content in files)
            self.assertLess(sent, 16 * 1024, page)
            self.assertLess(sum(map(len, files)), 44 * 1024, page)

    def test_pages_name_no_other_host_and_hold_no_inline_code(self):
        for page in PAGES:
            for path in page.iterdir():
                text = path.read_text()
                hosts = set(re.findall(r"https?://[^\s\"']+|//cdn[^\s\"']+", text)) - {"http://www.w3.org/2000/svg"}
                self.assertEqual(hosts, set(), path)
                self.assertNotRegex(text, r"innerHTML|insertAdjacentHTML|document\.write|eval\(", path)
                self.assertNotRegex(text, r"<style|\sstyle=|\son[a-z]+=|javascript:", path)
                self.assertNotRegex(text, r"<script(?![^>]*\ssrc=)", path)
