"""How long the explorer's page takes to begin and to follow a slider: `python -m benchmarks.explorer page.html ...`.

Takes playwright and a Chromium. A move is timed in the page, from the change of a latent to the image on its canvas.
"""

import shutil
import statistics
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

_MOVES = 40
_SLIDE = """async (moves) => {
  const slider = document.querySelector("#sliders input"), told = document.documentElement.dataset, found = [];
  for (let i = 0; i < moves; i++) {
    const before = told.decoded;
    slider.value = -2 + 4 * i / moves;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    while (told.decoded === before) await new Promise((resolve) => setTimeout(resolve, 1));
    found.push(Number(told.milliseconds));
  }
  return found;
}"""


def main() -> None:
    """Open each page from the disk, without a network, and print its size, its start and its moves in milliseconds."""
    with sync_playwright() as started:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for name in sys.argv[1:]:
            page = browser.new_context(offline=True).new_page()
            page.goto(Path(name).resolve().as_uri())
            print(f"{name}: {Path(name).stat().st_size / 1e6:.1f} MB, {_told(page)}", flush=True)
            page.close()
        browser.close()


def _told(page: Page) -> str:
    page.wait_for_selector("html[data-ready]", timeout=120_000)
    begun = page.evaluate("Number(document.documentElement.dataset.ready)")
    moves = page.evaluate(_SLIDE, _MOVES)
    return f"begins in {begun / 1000:.1f} s, a move takes {statistics.median(moves):.1f} ms (at most {max(moves):.1f})"


if __name__ == "__main__":
    main()
