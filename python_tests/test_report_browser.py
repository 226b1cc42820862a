"""The page in headless Chromium: no network, no errors, slider, pointer and keys, phone width, dark mode, contrast."""

import base64
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sarcore.report import write_report

from .report_runs import write_run
from .test_report_study import write_run as write_study
from .test_report_translation import write_translation

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    binaries = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    for name, path in binaries.items():
        if path is None:
            pytest.skip(f"there is no {name} on this machine; Debian has it as chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binaries["chromium"]
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # The driver is named, so that selenium looks for none in a network.
    service = webdriver.ChromeService(executable_path=binaries["chromedriver"])
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Pages of one GAN, of one classifier, of two GANs side by side, of a study, and of a translation."""
    folder = tmp_path_factory.mktemp("runs")
    gan = write_run(folder / "gan")
    other = write_run(folder / "other-with-a-rather-long-name-that-a-phone-has-to-break", steps=700, seed=1, width=32)
    classifier = write_run(folder / "classifier", kind="classifier")
    study = write_report(write_study(folder / "study"))
    both = write_report([gan, other], folder / "both.html")
    translation = write_report(write_translation(folder / "translation"))
    pages = {"gan": write_report(gan), "classifier": write_report(classifier), "both": both, "study": study}
    return {**pages, "translation": translation}


def opened(browser, page, *, width=1280, dark=False):
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # what earlier pages left there
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    browser.get(Path(page).as_uri())
    return browser


def run(browser, script, *arguments):
    return browser.execute_script(script, *arguments)


def slide(browser, value):
    script = "const s = document.getElementById('slider'); s.value = arguments[0]; s.dispatchEvent(new Event('input'));"
    run(browser, script, value)


def pixels(browser):
    return np.asarray(Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB"), dtype=float)


@pytest.mark.parametrize("name", ["gan", "classifier", "both", "study", "translation"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_a_page_opens_without_errors_or_requests_and_fits(browser, pages, name, width, dark):
    page = pages[name]
    opened(browser, page, width=width, dark=dark)
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    assert asked
    assert {url for url in asked if not url.startswith("data:")} == {page.as_uri()}
    assert run(browser, "return document.documentElement.scrollWidth") <= width
    broken = "return [...document.images].filter((one) => !one.complete || !one.naturalWidth).length"
    assert run(browser, broken) == 0
    shot = pixels(browser)
    assert shot.std() > 10
    assert (np.median(shot) < 60) == dark


def test_the_slider_changes_picture_label_histogram_and_mark(browser, pages):
    opened(browser, pages["gan"])
    state = """
        const one = (selector) => document.querySelector(selector), picture = one("#samples-0 .generated");
        return {
            image: picture.src, alt: picture.alt, real: document.querySelectorAll("#samples-0 img")[1].src,
            label: one("#slider-step").textContent, caption: one(".at-step").textContent,
            path: one("[data-key=histogram]").getAttribute("d"),
            spectrum: one("[data-key=spectrum]").getAttribute("d"),
            spoken: one("#slider").getAttribute("aria-valuetext")}"""
    last = run(browser, state)
    assert last["label"] == last["caption"] == "step 1000"
    slide(browser, 1)
    second = run(browser, state)
    assert second["label"] == second["caption"] == second["spoken"] == "step 400"
    assert second["alt"] == "Generated images at step 400"
    for changed in ("image", "path", "spectrum"):
        assert second[changed] != last[changed]
    assert second["real"] == last["real"]
    step_400 = (pages["gan"].parent / "samples" / "step_000400.png").read_bytes()
    shown = Image.open(io.BytesIO(base64.b64decode(second["image"].partition(",")[2])))
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(Image.open(io.BytesIO(step_400))))
    assert run(browser, "return document.querySelector('[data-x=step] .slid').getAttribute('visibility')") == "visible"
    slide(browser, 4)
    # The script draws what Python drew.
    assert run(browser, "return document.querySelector('#samples-0 .generated').src") == last["image"]
    again = run(browser, "return document.querySelector('[data-key=histogram]').getAttribute('d')")
    assert numbers(again) == pytest.approx(numbers(last["path"]), abs=0.11)


def test_titles_stand_above_their_columns_and_the_slider_moves_both_directions(browser, pages):
    opened(browser, pages["translation"], width=390)
    place = """
        const box = (one) => { const b = one.getBoundingClientRect(); return [b.left, b.right, b.bottom]; };
        return [[...document.querySelectorAll(".titles span")].map(box), box(document.querySelector(".sheet img")),
                document.querySelector(".sheet img").getBoundingClientRect().top,
                [...document.querySelectorAll("[data-key]")].map((one) => [one.dataset.key, one.getAttribute("d")])]"""
    titles, image, top, before = run(browser, place)
    width = (image[1] - image[0]) / 4
    for i, (left, right, bottom) in enumerate(titles):
        assert left == pytest.approx(image[0] + i * width, abs=3)
        assert right == pytest.approx(image[0] + (i + 1) * width, abs=3)
        assert bottom <= top
    slide(browser, 0)
    after = dict(run(browser, place)[3])
    moved = {key for key, path in before if path != after[key]}
    assert moved == {f"{name}-{direction}" for name in ("histogram", "spectrum") for direction in ("AtoB", "BtoA")}


def numbers(path):
    return [float(value) for value in path.replace("M", " ").replace("L", " ").split()]


def test_one_slider_moves_runs_of_different_steps(browser, pages):
    opened(browser, pages["both"])
    slide(browser, 0)
    labels = "return [...document.querySelectorAll('.at-step')].map((one) => one.textContent)"
    assert run(browser, labels) == ["step 200", "step 140"]  # the step is 140, which the first run does not have
    slide(browser, 99)
    assert run(browser, labels) == ["step 1000", "step 700"]


def test_play_runs_through_the_steps_and_ends_at_the_last(browser, pages):
    from selenium.webdriver.support.ui import WebDriverWait

    opened(browser, pages["gan"])
    slide(browser, 2)
    run(browser, "document.getElementById('play').click()")
    assert run(browser, "return document.getElementById('play').textContent") == "Pause"
    WebDriverWait(browser, 60).until(lambda b: run(b, "return document.getElementById('play').textContent") == "Play")
    assert run(browser, "return document.getElementById('slider-step').textContent") == "step 1000"


def test_pointer_and_keys_read_values_from_a_chart(browser, pages):
    from selenium.webdriver import ActionChains, Keys
    from selenium.webdriver.common.by import By

    opened(browser, pages["gan"])
    loss = next(f for f in browser.find_elements(By.CSS_SELECTOR, ".chart") if "Loss d" in f.text)
    drawing = loss.find_element(By.TAG_NAME, "svg")
    run(browser, "arguments[0].scrollIntoView({block: 'center'})", drawing)
    ActionChains(browser).move_to_element(drawing).perform()
    tip = loss.find_element(By.CSS_SELECTOR, ".tip").text
    assert tip.startswith(("step 4", "step 5"))  # the middle of the drawing
    for label in ("Loss d: 0.", "Loss g: 0.", "Loss real: 0.", "Loss fake: 0."):
        assert label in tip
    drawing.send_keys(Keys.HOME)
    assert loss.find_element(By.CSS_SELECTOR, ".tip").text.startswith("step 10\n")
    drawing.send_keys(Keys.ARROW_RIGHT)
    assert loss.find_element(By.CSS_SELECTOR, ".tip").text.startswith("step 20\n")
    drawing.send_keys(Keys.ESCAPE)
    assert not loss.find_element(By.CSS_SELECTOR, ".tip").is_displayed()


def test_pictures_and_drawings_say_what_they_show(browser, pages):
    for page in pages.values():
        opened(browser, page)
        assert run(browser, "return [...document.images].filter((one) => !one.alt).length") == 0
        assert run(browser, "return document.querySelectorAll('svg:not([aria-label])').length") == 0
        controls = "[...document.querySelectorAll('input, button')]"
        assert run(browser, f"return {controls}.filter((one) => !one.ariaLabel && !one.textContent).length") == 0


CONTRAST = """
const light = (text) => {
  const linear = (v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const [r, g, b] = text.match(/[\\d.]+/g).map((v) => linear(v / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (one) => {
  for (; one; one = one.parentElement) {
    const colour = getComputedStyle(one).backgroundColor;
    if (colour.startsWith("rgb(")) return colour;
  }
  return "rgb(255, 255, 255)";
};
const texts = "p, h1, h2, h3, td, th, li, dt, dd, figcaption, small, .badge, output, button, .chart text";
return [...document.querySelectorAll(texts)]
  .filter((one) => one.textContent.trim() && !getComputedStyle(one).backgroundColor.startsWith("color("))
  .map((one) => {
    const style = getComputedStyle(one);
    const [a, b] = [light(one.tagName === "text" ? style.fill : style.color), light(ground(one))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), one.textContent.trim().slice(0, 40)];
  }).sort((a, b) => a[0] - b[0]).slice(0, 3);
"""


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_from_its_ground(browser, pages, dark):
    for page in pages.values():
        opened(browser, page, dark=dark)
        weakest = run(browser, CONTRAST)
        assert weakest[0][0] >= 4.5, weakest  # WCAG 2.1, level AA


@pytest.mark.parametrize("width", [1280, 390])
def test_a_confusion_of_seven_classes_is_seen_whole(browser, tmp_path, width):
    names = ["agriculture", "bare", "forest", "industrial", "settlement", "transport", "water"]
    study = write_study(tmp_path / "study")
    results = json.loads((study / "results.json").read_text())
    results["classes"] = names
    results["dataset"]["patches"] = {part: dict.fromkeys(names, 12) for part in ("train", "test")}
    for arm in results["arms"].values():
        arm["recall"] = dict.fromkeys(names, arm["scores"]["macro_f1"])
        if arm["difference"]:
            arm["difference"]["recall"] = dict.fromkeys(names, arm["difference"]["scores"]["macro_f1"])
        for one in arm["runs"]:
            one["confusion"] = (12 * np.eye(7, dtype=int)).tolist()
            one["items"] = one["patches"] = {"real": [12] * 7, "generated": [0] * 7}
    (study / "results.json").write_text(json.dumps(results))
    opened(browser, write_report(study), width=width)
    hidden = (
        "return [...document.querySelectorAll('.wide:has(.confusion)')].map((one) => one.scrollWidth - one.clientWidth)"
    )
    assert run(browser, hidden) == [0, 0]
