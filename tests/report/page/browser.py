"""A page opened from disk in a real browser, worked with as a person would, and looked at from outside.

Nothing here reaches into the script of the page: what counts is the text that is shown, the pixels, and what
the browser itself reports.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from selenium.webdriver import ActionChains, Chrome, ChromeOptions, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.plain_scan import Entry

if TYPE_CHECKING:
    # mypy knows the modules of tools/ by the names that the hooks of the site import them with.
    from pictures import QUIET
else:
    from tools.pictures import QUIET


@contextmanager
def chromium(profile: Path) -> Iterator[Chrome]:
    """A headless Chromium with an empty profile; the test is skipped where there is none."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("chromium and chromedriver (Debian: chromium, chromium-driver) are not here")
    options = ChromeOptions()
    options.binary_location = binary
    for argument in (*QUIET, "--window-size=1300,1000", f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    running = Chrome(options=options, service=Service(driver))
    try:
        yield running
    finally:
        running.quit()


class Page:
    """One report, opened."""

    entries: list[Entry]
    """What a plain scan finds in the log that it was made of, if it was made of one."""

    def __init__(self, driver: Chrome, path: Path, *, theme: str = "light", fragment: str = "") -> None:
        """Open the file; what the browser said of earlier pages is forgotten."""
        self.driver = driver
        self.url = path.as_uri()
        features = [{"name": "prefers-color-scheme", "value": theme}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        driver.get("about:blank")
        self.requests(), self.complaints()
        driver.get(self.url + fragment)

    def find(self, selector: str) -> WebElement:
        """The first element that fits."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """The whole text of each element that fits, shown or not."""
        script = "return [...document.querySelectorAll(arguments[0])].map((found) => found.textContent)"
        found: list[str] = self.driver.execute_script(script, selector)
        return found

    def rows(self, table: str) -> list[list[str]]:
        """The texts in the body of a table, row by row."""
        script = """
            const rows = document.querySelectorAll(arguments[0] + " tbody tr");
            return [...rows].map((row) => [...row.cells].map((cell) => cell.textContent));
        """
        found: list[list[str]] = self.driver.execute_script(script, table)
        return found

    def text(self, selector: str) -> str:
        """The whole text of the first element that fits."""
        return self.texts(selector)[0]

    @property
    def diagram(self) -> WebElement:
        """The diagram, which takes keys and pointer."""
        return self.find("#diagram")

    @property
    def status(self) -> str:
        """What the page says is in view."""
        return self.text("#status")

    def press(self, *keys: str) -> None:
        """Press keys in the diagram."""
        self.driver.execute_script("arguments[0].focus()", self.diagram)
        ActionChains(self.driver, duration=0).send_keys(*keys).perform()

    def point(self, x: float, y: float, *, click: bool = False) -> str:
        """Point at a place of the canvas; return what the page says of it."""
        # Offsets count from the middle of what is in view, so all of it has to be.
        self.script("arguments[0].scrollIntoView({ block: 'center' })", self.diagram)
        box = self.diagram.rect
        chain = ActionChains(self.driver, duration=0).move_to_element_with_offset(
            self.diagram, round(x - box["width"] / 2), round(y - box["height"] / 2)
        )
        (chain.click() if click else chain).perform()
        return self.text(".tip") if self.find(".tip").is_displayed() else ""

    def touch(self, *steps: list[tuple[float, float]]) -> None:
        """Put fingers on places of the canvas, move them from step to step, and lift them."""
        self.script("arguments[0].scrollIntoView({ block: 'center' })", self.diagram)
        left, top = self.script(
            "const { left, top } = arguments[0].getBoundingClientRect(); return [left, top]", self.diagram
        )
        kinds = ["touchStart", *["touchMove"] * (len(steps) - 1), "touchEnd"]
        for kind, places in zip(kinds, [*steps, []], strict=True):
            points = [{"id": finger, "x": left + x, "y": top + y} for finger, (x, y) in enumerate(places)]
            self.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def open_table(self) -> None:
        """Unfold the table of ops, which the browser tells the page of a moment later."""
        self.find("#op-table summary").click()
        WebDriverWait(self.driver, 10).until(lambda _: self.texts("#op-table tbody"))

    def drawn_texts(self) -> list[tuple[str, float, float]]:
        """What is written on the canvas, and where, when it is painted once."""
        self.script("""
            window.written = [];
            const pen = document.querySelector("#diagram canvas").getContext("2d");
            pen.fillText = (...text) => window.written.push(text);
            document.querySelector("#lane-height").dispatchEvent(new Event("input"));
            delete pen.fillText;
        """)
        return [(text, x, y) for text, x, y in self.script("return window.written")]

    def enter(self, selector: str, text: str) -> None:
        """Write a text into a field instead of what it holds, and leave the field."""
        field = self.find(selector)
        field.click()
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text, Keys.TAB)

    def choose(self, selector: str, value: str) -> None:
        """Choose one of the values of a list."""
        self.find(f"{selector} option[value='{value}']").click()

    def drag_on_strip(self, start: float, end: float) -> None:
        """Drag from one place to another of the strip below the diagram; places are shares of the plot's width."""
        strip = self.find(".overview")
        width = strip.rect["width"]
        left = min(200, round(width * 0.24))
        places = [round(left + share * (width - left - 12) - width / 2) for share in (start, end)]
        chain = ActionChains(self.driver, duration=0).move_to_element_with_offset(strip, places[0], 0).click_and_hold()
        chain.move_by_offset(places[1] - places[0], 0).release().perform()

    def pixels(self, top: int, rows: int) -> list[list[int]]:
        """The colours of some rows of the canvas, row by row, each as one number 0xRRGGBB."""
        script = """
            const canvas = document.querySelector("#diagram canvas");
            const { data } = canvas.getContext("2d").getImageData(0, arguments[0], canvas.width, arguments[1]);
            const colour = (_, at) => (data[4 * at] << 16) | (data[4 * at + 1] << 8) | data[4 * at + 2];
            const colours = Array.from({ length: data.length / 4 }, colour);
            return Array.from({ length: arguments[1] }, () => colours.splice(0, canvas.width));
        """
        found: list[list[int]] = self.driver.execute_script(script, top, rows)
        return found

    @property
    def picture(self) -> str:
        """The whole canvas, to compare it with itself at another time."""
        return str(self.script("return document.querySelector('#diagram canvas').toDataURL()"))

    def colour(self, name: str) -> int:
        """A colour of the page as it is now."""
        script = "return getComputedStyle(document.documentElement).getPropertyValue('--' + arguments[0]).trim()"
        return int(self.driver.execute_script(script, name)[1:], 16)

    def complaints(self) -> list[str]:
        """What the console of the browser has got since it was asked last."""
        return [entry["message"] for entry in self._logged("browser")]

    def requests(self) -> list[str]:
        """The addresses that were asked for since this was asked last."""
        messages = [json.loads(entry["message"])["message"] for entry in self._logged("performance")]
        sent = [found["params"] for found in messages if found["method"] == "Network.requestWillBeSent"]
        return [found["request"]["url"] for found in sent]

    def _logged(self, kind: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call] # as selenium has it
        return found

    def script(self, text: str, *arguments: Any) -> Any:
        """Run a script beside the page's own."""
        return self.driver.execute_script(text, *arguments)


def number(text: str) -> int:
    """The first number of a text."""
    return int(re.findall(r"[\d,]+", text)[0].replace(",", ""))


def marks(page: Page, lane: int, lane_height: int = 40, top: int = 30) -> list[tuple[float, float]]:
    """The middles of the marks in a lane, found by their colour along the middle of it."""
    y = top + lane * lane_height + lane_height // 2
    colours = {page.colour(f"d{domain}") for domain in range(6)}
    (row,) = page.pixels(y, 1)
    found = [x for x, colour in enumerate(row) if colour in colours]
    groups: list[list[int]] = []
    for x in found:
        # A mark may be hollow, and there may be a glyph in it.
        if groups and x - groups[-1][-1] <= 20:
            groups[-1].append(x)
        else:
            groups.append([x])
    return [((group[0] + group[-1]) / 2, y) for group in groups]


def range_in_view(page: Page) -> tuple[int, int]:
    """The timestamps that the page says are in view."""
    found = re.search(r"Lamport time ([\d,]+) to ([\d,]+)", page.status)
    assert found
    low, high = (int(text.replace(",", "")) for text in found.groups())
    return low, high


def tile(page: Page, name: str) -> str:
    """The value of a tile."""
    return dict(zip(page.texts(".tile dt"), page.texts(".tile dd:nth-child(2)"), strict=True))[name]


def settled(page: Page) -> bool:
    """Whether the URL has been the same for longer than the page waits before it writes it."""
    before = page.driver.current_url
    page.driver.execute_async_script("setTimeout(arguments[0], 300)")
    return page.driver.current_url == before
