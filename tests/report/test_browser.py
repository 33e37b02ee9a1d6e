"""The page as a browser shows it: it asks for nothing, says nothing, fits, and follows its choosers."""

import json
import shutil
import time
from itertools import pairwise

import pytest

from dgl_dysign.report.cli import main
from tests.report.run_folders import event_run, link_run, node_run, study_run

webdriver = pytest.importorskip("selenium.webdriver")
pytest.importorskip("jinja2")
pytest.importorskip("plotly")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not (CHROMIUM and DRIVER):
    pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)", allow_module_level=True)
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    home = tmp_path_factory.mktemp("report")
    runs = [
        node_run(home / "a"),
        node_run(home / "b-with-quite-a-long-name-of-its-own", hidden=16, rows=("relu-network",)),
        link_run(home / "c"),
        event_run(home / "d"),
        study_run(home / "e"),
    ]
    assert main([*map(str, runs), "-o", str(home / "r.html"), "--quiet"]) == 0
    return home / "r.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield found
    found.quit()


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the page took too long"
        time.sleep(0.05)


def show(browser, page, width, dark=False):
    """Open the page in a window so high that everything is drawn; return what was asked for and said."""
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    size = {"width": width, "height": 30000, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(page.as_uri())
    drawn = "return [...document.querySelectorAll('.plot')].every((plot) => plot.querySelector('.main-svg'))"
    until(lambda: browser.execute_script("return document.documentElement.dataset.ready") == "yes")
    until(lambda: browser.execute_script(drawn))
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return asked, browser.get_log("browser")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, False), (390, True)])
def test_it_asks_for_nothing_says_nothing_and_fits(browser, page, width, dark):
    asked, said = show(browser, page, width, dark)
    assert said == []
    own = [url for url in asked if url.startswith("chrome:") is False and url.startswith("data:") is False]
    assert own == [page.as_uri()]
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('.plot .main-svg')].map((svg) => svg.getBoundingClientRect().right)"
    )
    assert sizes
    assert max(sizes) <= width
    assert browser.execute_script("return document.getElementById('trouble').hidden")


@pytest.fixture(scope="module")
def opened(browser, page):
    """Return the browser with the page open in a wide window, for tests that do not load it anew."""
    show(browser, page, 1280)
    return browser


def test_headings_are_in_order_and_everything_has_a_name(opened):
    levels = opened.execute_script(
        "return [...document.querySelectorAll('h1, h2, h3, h4')].map((h) => Number(h.tagName[1]))"
    )
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for role, names in (
        ("select", "return [...document.querySelectorAll('select')].map((s) => s.labels[0].textContent.trim())"),
        ("chart", "return [...document.querySelectorAll('[role=img]')].map((p) => p.getAttribute('aria-label'))"),
        ("region", "return [...document.querySelectorAll('[role=region]')].map((p) => p.getAttribute('aria-label'))"),
    ):
        found = opened.execute_script(names)
        assert found, role
        assert all(found), role


def picture(browser, title):
    """Return the chart of a title, its choosers, and what it draws."""
    return browser.execute_script(
        """
        const figure = [...document.querySelectorAll("figure")].find(
          (f) => f.querySelector("h3").textContent.startsWith(arguments[0]));
        const plot = figure.querySelector(".plot");
        return {z: plot.data[0].z ?? null, y: plot.data[0].y, label: plot.getAttribute("aria-label"),
                options: [...figure.querySelectorAll("select")].map((s) => [...s.options].map((o) => o.value))};
        """,
        title,
    )


def choose(browser, title, place, value):
    browser.execute_script(
        """
        const figure = [...document.querySelectorAll("figure")].find(
          (f) => f.querySelector("h3").textContent.startsWith(arguments[0]));
        const select = figure.querySelectorAll("select")[arguments[1]];
        select.value = arguments[2];
        select.dispatchEvent(new Event("change"));
        """,
        title, place, value,
    )  # fmt: skip


def test_the_node_chooser_changes_the_picture(opened):
    before = picture(opened, "Contents of the neighbour store")
    assert before["options"] == [["node 7 (12 events, 2 slots)", "node 3 (1 event, 2 slots)"]]
    choose(opened, "Contents of the neighbour store", 0, "node 3 (1 event, 2 slots)")
    after = picture(opened, "Contents of the neighbour store")
    assert after["z"] != before["z"]
    assert "node 3" in after["label"]
    assert "node 7" in before["label"]
    raster = picture(opened, "Spike raster")
    choose(opened, "Spike raster", 0, raster["options"][0][1])
    assert picture(opened, "Spike raster")["z"] == [[0, 0, 0], [0, 0, 0]]


def test_a_choice_without_a_picture_takes_the_other_choosers_along(opened):
    gap, long = "Gap of the cached equilibrium", "b-with-quite-a-long-name-of-its-own"
    choose(opened, "Learning curves", 0, gap)
    assert gap in picture(opened, "Learning curves")["label"]
    choose(opened, "Learning curves", 1, long)  # without a gap: its network has no equilibrium
    assert f"Training loss, {long}" in picture(opened, "Learning curves")["label"]


def test_an_old_browser_is_told_and_keeps_the_tables(browser, page, tmp_path):
    script = "delete window.DecompressionStream;"
    broken = tmp_path / "old.html"
    broken.write_text(page.read_text().replace("<head>", f"<head><script>{script}</script>", 1))
    browser.get(broken.as_uri())
    until(lambda: not browser.execute_script("return document.getElementById('trouble').hidden"))
    assert "the tables are complete" in browser.execute_script("return document.getElementById('trouble').textContent")
