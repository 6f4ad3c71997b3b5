# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""A page in a real Chromium, without a screen and without a network."""

import base64
import json
import os

from harness import Skip, at_exit, check, equal, need

FLAGS = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         "--no-default-browser-check", "--disable-background-networking",
         "--disable-component-update", "--disable-extensions", "--window-size=1240,1000"]


def _driver():
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.options import Options
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        raise Skip("python3-selenium is not installed")
    options = Options()
    for flag in FLAGS + (["--no-sandbox"] if os.geteuid() == 0 else []):
        options.add_argument(flag)
    options.binary_location = need("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(need("chromedriver")))
    at_exit(driver.quit)
    return driver


class Page:
    """A file opened from disk; what it logs and asks for is kept."""

    def __init__(self, path, dark=False):
        self.d = _driver()
        self.url = "file://" + path
        self.media(dark)
        self.d.get(self.url)
        self.logged, self.asked = [], []

    def media(self, dark):
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.d.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})

    def js(self, script, *args):
        return self.d.execute_script(script, *args)

    def all(self, css):
        return self.d.find_elements("css selector", css)

    def one(self, css):
        found = self.all(css)
        equal(len(found), 1, f"elements {css}")
        return found[0]

    def text(self, css):
        return self.one(css).get_attribute("textContent")

    def until(self, condition, what, timeout=30):
        """Waits for a state that JavaScript tells."""
        from selenium.webdriver.support.ui import WebDriverWait
        WebDriverWait(self.d, timeout, 0.02).until(lambda _: self.js(f"return {condition}"), what)

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains
        ActionChains(self.d).send_keys(*keys).perform()

    def keys(self, css, *keys):
        """Types into the element."""
        self.js("arguments[0].focus()", self.one(css))
        self.press(*keys)

    def active(self):
        """The id of what has the keyboard's focus."""
        return self.js("return document.activeElement.id")

    def pdf(self):
        return base64.b64decode(self.d.execute_cdp_cmd("Page.printToPDF", {})["data"])

    def is_quiet(self):
        """Nothing on the console, nothing asked for but the file."""
        self.logged += [e["message"] for e in self.d.get_log("browser")]
        for e in self.d.get_log("performance"):
            m = json.loads(e["message"])["message"]
            if m["method"] == "Network.requestWillBeSent":
                self.asked.append(m["params"]["request"]["url"])
        equal(self.logged, [], "the console")
        check(self.asked, "no request was seen: the log does not work")
        equal([u for u in self.asked if u != self.url], [], "requests beside the page")
