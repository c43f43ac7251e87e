"""The built site in a real browser: `make docs-check`.

Headless Chromium reads the site from a server on this machine, so that what would need the network fails.
"""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

SITE = Path(__file__).parent.parent / "_build/html"
PAGES = sorted(str(p.relative_to(SITE)) for p in SITE.rglob("*.html"))
FORMULAS = ["sections/2_recurrent_networks.html", "sections/8_memory.html", "notebooks/01_three_gradients.html"]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    assert SITE.exists(), "run `make docs` first"
    handler = functools.partial(Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1300,1000"):
        options.add_argument(argument)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = shutil.which("chromedriver")
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver) if driver else None)
    browser.set_script_timeout(10)
    yield browser
    browser.quit()


def script(name: str) -> str:
    return (Path(__file__).parent / name).read_text()


def visit(browser: webdriver.Chrome, address: str, width: int = 1300) -> None:
    """Open a page at a width, and wait until its formulas are set."""
    metrics = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(address)
    loaded = "return document.readyState == 'complete' && (!window.MathJax || !!window.MathJax.startup?.promise)"
    WebDriverWait(browser, 20).until(lambda b: b.execute_script(loaded))
    browser.execute_async_script(
        "const done = arguments[0]; (window.MathJax ? MathJax.startup.promise : Promise.resolve()).then(done)"
    )


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_without_an_error_and_fits_a_phone(browser, url, page):
    browser.get_log("browser")
    visit(browser, url + page, width=390)
    errors = [e["message"] for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    assert not errors
    for what, found in browser.execute_script(script("faults.js")).items():
        assert not found, what


@pytest.mark.parametrize("page", FORMULAS)
def test_formulas_are_set(browser, url, page):
    visit(browser, url + page)
    assert len(browser.find_elements(By.CSS_SELECTOR, "mjx-container mjx-math")) >= 3
    fonts = "return document.fonts.ready.then(f => [...f].filter(x => x.status == 'loaded').map(x => x.family))"
    assert any("MJX" in family for family in browser.execute_script(fonts))


def test_code_is_highlighted_and_can_be_copied(browser, url):
    visit(browser, url + "start/ten_lines.html")
    assert browser.find_elements(By.CSS_SELECTOR, "div.highlight span.kn")
    assert browser.find_elements(By.CSS_SELECTOR, "button.copybtn")


@pytest.mark.parametrize("name", ["unroll_bptt", "LSTM", "diagnose"])
def test_search_finds_a_name(browser, url, name):
    visit(browser, f"{url}search.html?q={name}")
    results = WebDriverWait(browser, 20).until(lambda b: b.find_elements(By.CSS_SELECTOR, "ul.search li a"))
    assert any(name in result.get_attribute("href") for result in results)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", ["index.html", "start/ten_lines.html", "reference/jaxrnn.unrolling.html"])
def test_text_has_contrast(browser, url, page, theme):
    visit(browser, url + page)
    browser.execute_script("document.body.dataset.theme = arguments[0]", theme)
    low = browser.execute_script(script("contrast.js"))
    assert not low
