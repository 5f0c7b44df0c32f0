"""A local cloud of its own for the tests of deployed pages: the real binary, with the pipelines that have a page."""

import json
import os
import subprocess
import tempfile
import time

TEMPLATES = ("prices", "cart", "cart-direct")


class Cloud:
    """Starts the local cloud on a free port and sets up the pipelines; at its end it destroys them and stops."""

    def __init__(self, streamctl):
        self.streamctl = os.path.abspath(streamctl)
        self.outputs = {}

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory()
        try:
            self.run("local", "start", "--port", "0")
            bundled = {one["name"] for one in self.json("init")}
            for template in bundled.intersection(TEMPLATES):
                started = time.monotonic()
                self.run("setup", template)
                print(f"setup {template}: {time.monotonic() - started:.2f} s", flush=True)
                self.outputs[template] = self.json("outputs", template)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        try:
            for template in self.outputs:
                self.run("destroy", template, "--yes")
        finally:
            self.stop()

    def stop(self):
        self.run("local", "stop", "--quiet")
        self.directory.cleanup()

    def run(self, *arguments):
        """Runs a command in an empty directory, without the settings of the caller. Returns what it writes to stdout."""
        where = self.directory.name
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": where,
            "STREAMCTL_HOME": f"{where}/home",
            "STREAMCTL_TARGET": "local",
        }
        done = subprocess.run([self.streamctl, *arguments], cwd=where, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"streamctl {' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def json(self, *arguments):
        return json.loads(self.run(*arguments, "-o", "json"))
