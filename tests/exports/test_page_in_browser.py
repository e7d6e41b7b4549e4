"""The HTML report in a browser without a window: it is read there, complains of nothing and asks nobody."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from export_support import FORMULAS, shown_of
from PIL import Image

from napari_ore_minerals.exports.formats import export

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--hide-scrollbars", "--window-size=1000,6000", "--enable-logging=stderr", "--virtual-time-budget=4000",
)  # fmt: skip
BY_ITSELF = "not an origin"  # the browser, not the page


def looked_at(page: Path, folder: Path) -> tuple[str, str, set[str]]:
    """What stands in the page once it is shown, what its console says, and what was asked for over the network."""
    log, profile = folder / "net.json", folder / "profile"
    arguments = [
        str(BROWSER), *QUIET, f"--user-data-dir={profile}", f"--log-net-log={log}",
        f"--screenshot={folder / 'page.png'}", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=True)
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    events = [event.get("params", {}) for event in json.loads(log.read_text(encoding="utf-8"))["events"]]
    asked = {one["url"] for one in events if "url" in one and one.get("initiator") not in (None, BY_ITSELF)}
    return done.stdout, console, {url for url in asked if not url.startswith(("file:", "data:"))}


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here (Debian: apt install chromium)")
def test_the_report_is_read_in_a_browser_and_asks_nobody(tmp_path: Path) -> None:
    shown = shown_of(minerals=FORMULAS, name="<img src=x onerror=console.error(1)>.tif")
    page = export(shown, tmp_path / "report.html")
    text, console, asked = looked_at(page, tmp_path)
    assert console == ""
    assert asked == set()
    for heading in (
        "The map",
        "How much of each mineral",
        "Grains",
        "What the classifier looked at",
        "Method",
    ):
        assert f">{heading}</h2>" in text
    assert "Who touches whom" in text
    assert "<b>gangue</b>" not in text
    picture = np.asarray(Image.open(tmp_path / "page.png").convert("RGB"), int)
    assert picture.shape == (6000, 1000, 3)
    coloured = (picture.max(axis=2) - picture.min(axis=2) > 40).mean()
    assert 0.03 < coloured < 0.9, "pictures are shown"


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium here (Debian: apt install chromium)")
def test_a_page_that_asks_or_complains_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        '<img src="http://127.0.0.1:9/a.png"><script>console.error("no")</script>', encoding="utf-8"
    )
    _, console, asked = looked_at(page, tmp_path)
    assert "no" in console
    assert asked == {"http://127.0.0.1:9/a.png"}
