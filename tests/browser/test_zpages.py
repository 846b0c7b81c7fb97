"""zPages in a real Chromium: every page, both themes, hostile names, ten thousand spans, the keyboard alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from selenium.common.exceptions import NoAlertPresentException
from selenium.webdriver.common.keys import Keys

from puremux import Exporter, zpages
from puremux.agent import Agent
from puremux.proto import metrics_service_pb2
from tests.shared.waiting import eventually

from .chromium import Chromium

LIMIT = 20.0
SCRIPT = "<script>alert(1)</script>"
HOSTILE = [
    SCRIPT,
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "x" * 10_000,
    "a\x00b\x1b[31m",
    "\u202egnp.exe",
]
OWN = ["", "tracez", "rpcz", "statsz", "traceconfigz", "exporterz"]
AGENTS = ["", "tracez", "clientz", "rpcz", "statsz", "traceconfigz"]
MOST_TABS = 60  # to get anywhere on a page


class Site(NamedTuple):
    own: str
    agents: str
    exporter: Exporter


def span(name: str, number: int) -> Any:
    """A span whose latency, status and parent go by its number."""
    began = time.time() - 60 + number / 1000
    return SimpleNamespace(
        name=name,
        context=SimpleNamespace(trace_id=f"{number // 4 + 1:032x}", tracestate=None),
        span_id=f"{number + 1:016x}",
        parent_span_id=f"{number // 4 * 4 + 1:016x}" if number % 4 else None,
        attributes={"n": number, "name": name},
        start_time=_iso(began),
        end_time=_iso(began + 10 ** (number % 7 - 5)),
        child_span_count=0,
        stack_trace=None,
        annotations=[],
        message_events=[],
        links=[],
        status=SimpleNamespace(code=5, message=name) if number % 10 == 9 else None,
        same_process_as_parent_span=True,
        span_kind=0,
    )


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1e6):06d}Z"


def histogram() -> Any:
    request = metrics_service_pb2.ExportMetricsServiceRequest()
    metric = request.metrics.add()
    metric.metric_descriptor.name, metric.metric_descriptor.type = "latency", 6
    metric.metric_descriptor.label_keys.add(key=SCRIPT)
    series = metric.timeseries.add()
    series.label_values.add(value=SCRIPT, has_value=True)
    value = series.points.add().distribution_value
    value.count, value.sum = 60, 600.0
    value.bucket_options.explicit.bounds.extend([1, 10, 100])
    for count in (10, 20, 30, 0):
        value.buckets.add(count=count)
    return request


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """An exporter and its agent, both with pages, and ten thousand spans between them."""
    with (
        Agent("127.0.0.1:0", zpages="127.0.0.1:0") as agent,
        Exporter(agent.address, service_name=f"shop {SCRIPT}", bundle_delay=0.05) as exporter,
        zpages.serve(0, exporter) as served,
    ):
        exporter.export(span(f"name {number % 40}", number) for number in range(9_900))
        exporter.export(span(HOSTILE[number % len(HOSTILE)], number) for number in range(9_900, 10_000))
        exporter.export_metrics_request(histogram())
        assert exporter.flush(LIMIT)
        yield Site(served.url, str(agent.zpages), exporter)


def luminance(colour: str) -> float:
    """Of a computed colour (WCAG 2.2, relative luminance)."""
    channels = [float(each) / 255 for each in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(browser: Chromium, selector: str, behind: str = "body") -> float:
    light, dark = sorted(
        (luminance(browser.style(selector, "color")), luminance(browser.style(behind, "background-color"))),
        reverse=True,
    )
    return (light + 0.05) / (dark + 0.05)


def is_quiet(browser: Chromium) -> bool:
    """The page asked for no script, opened no dialog, and the browser has nothing to complain of."""
    with pytest.raises(NoAlertPresentException):
        browser.driver.switch_to.alert  # noqa: B018  raises unless there is one
    return browser.complaints() == []


@pytest.mark.parametrize("of, name", [*(("own", name) for name in OWN), *(("agents", name) for name in AGENTS)])
def test_every_page_in_either_theme(browser: Chromium, theme: str, site: Site, of: str, name: str) -> None:
    browser.open(getattr(site, of) + name)
    assert is_quiet(browser)
    assert browser.find("h1").is_displayed()
    is_dark = luminance(browser.style("body", "background-color")) < 0.1
    assert is_dark == (theme == "dark")
    for selector, behind in (("body", "body"), ("main a", "body"), (".where", "header")):
        if browser.find_all(selector):
            assert contrast(browser, selector, behind) >= 4.5, selector
    assert all(url.startswith(getattr(site, of).split("/debug")[0]) for url in browser.requests() if url[:5] != "data:")


@pytest.mark.parametrize("of, name", [*(("own", name) for name in OWN), *(("agents", name) for name in AGENTS)])
def test_a_telephone_has_nothing_to_push_aside(browser: Chromium, site: Site, of: str, name: str) -> None:
    browser.resize(400, 800)
    browser.open(getattr(site, of) + name)
    assert browser.ask("return document.documentElement.scrollWidth") <= 400


def test_a_span_that_is_named_like_a_script_is_a_text(browser: Chromium, site: Site) -> None:
    for url in (site.own, site.agents):
        browser.open(f"{url}tracez?find=script")
        link = next(each for each in browser.find_all("tbody th a") if each.text == SCRIPT)
        link.click()
        assert browser.find("h1").text == SCRIPT
        browser.find("tbody th a").click()
        assert browser.find("h1").text == SCRIPT
        assert f"name\n{SCRIPT}" in browser.text
        assert is_quiet(browser)


def test_hostile_names_stay_in_their_places(browser: Chromium, site: Site) -> None:
    browser.resize(400, 800)
    browser.open(f"{site.own}tracez?sort=errors")
    for shown in ("9,940 more characters", "⟨U+202E⟩gnp.exe", "a⟨U+0000⟩b⟨U+001B⟩[31m"):
        browser.open(f"{site.own}tracez")
        assert shown in browser.text
    for link in [each.get_attribute("href") for each in browser.find_all("tbody th a")]:
        browser.open(str(link))
        assert browser.ask("return document.documentElement.scrollWidth") <= 400
    assert is_quiet(browser)


def test_ten_thousand_spans_are_counted_and_found(browser: Chromium, site: Site) -> None:
    browser.open(f"{site.own}tracez")
    assert "10,000 counted" in browser.text
    counts = [int(each.text.replace(",", "")) for each in browser.find_all("tbody td.number a")]
    assert sum(counts) == 10_000
    browser.open(f"{site.agents}tracez")
    assert "10,000 of the newest held" in browser.text


def test_a_span_leads_to_its_parent_and_its_children(browser: Chromium, site: Site) -> None:
    browser.open(f"{site.own}tracez/{2400:032x}/{9597 + 1:016x}")
    assert len(browser.find_all(".trace tbody tr")) == 4
    browser.find("dl.attributes dd a").click()
    assert "none: the trace begins here" in browser.text
    assert len(browser.find_all(".trace .d1")) == 3
    browser.find_all(".trace tbody td a")[-1].click()
    assert "parent" in browser.text
    assert is_quiet(browser)


def test_without_scripts_everything_is_there(browser: Chromium, site: Site) -> None:
    browser.scripts(False)
    browser.open(f"{site.own}statsz")
    assert "60 values, mean 10, sum 600" in browser.text
    bars = [float(each.get_attribute("height")) for each in browser.find_all(".bars rect:not(.hit)")]
    assert [round(height / max(bars), 2) for height in bars] == [0.33, 0.67, 1.0]
    browser.find("summary").click()
    assert "10 to 100: 30" in browser.text
    browser.open(f"{site.own}exporterz")
    assert len(browser.find_all("svg.chart path.line")) == 6


def tab_to(browser: Chromium, what: str) -> None:
    """Press Tab until what has the focus matches a selector, and see that the focus can be seen."""
    for _ in range(MOST_TABS):
        browser.press(Keys.TAB)
        if browser.ask("return document.activeElement.matches(arguments[0])", what):
            assert browser.focused.value_of_css_property("outline-style") != "none"
            return
    raise AssertionError(f"the Tab key does not lead to {what}")


def test_the_keyboard_alone_changes_the_sampler(browser: Chromium, site: Site) -> None:
    browser.open(site.own)
    tab_to(browser, 'nav a[href$="/traceconfigz"]')
    browser.press(Keys.ENTER)
    browser.wait_for("form.change")
    tab_to(browser, 'input[name="sampler"]')
    while browser.focused.get_attribute("value") != "probability":
        browser.press(Keys.ARROW_DOWN)
    tab_to(browser, 'input[name="probability"]')
    browser.press(*(Keys.BACK_SPACE,) * 20, "0.25", Keys.ENTER)
    assert "This was asked for." in browser.wait_for('[role="status"]').text
    assert "0.25 of the traces" in browser.text
    assert browser.find('input[value="probability"]').is_selected()
    tab_to(browser, "form.change button")
    browser.press(Keys.ENTER)
    assert is_quiet(browser)


def test_the_keyboard_alone_finds_a_span(browser: Chromium, site: Site) -> None:
    browser.open(f"{site.own}tracez")
    browser.press(Keys.TAB)
    assert browser.focused.text == "To the content"
    tab_to(browser, 'input[name="find"]')
    browser.press("name 7", Keys.ENTER)
    eventually(lambda: "find=name+7" in browser.driver.current_url, LIMIT)
    tab_to(browser, "tbody th a")
    browser.press(Keys.ENTER)
    eventually(lambda: browser.find("h1").text == "name 7", LIMIT)
    tab_to(browser, "tbody th a")
    browser.press(Keys.ENTER)
    eventually(lambda: browser.find_all(".trace"), LIMIT)


def test_the_agents_form_reaches_the_exporter(browser: Chromium, site: Site) -> None:
    sampled = SimpleNamespace(trace_id="0" * 31 + "1", trace_options=SimpleNamespace(get_enabled=lambda: False))
    for sampler, expected in (("off", False), ("on", True)):
        browser.open(f"{site.agents}traceconfigz")
        browser.find(f'input[value="{sampler}"]').click()
        browser.find("form.change button").click()
        eventually(lambda: site.exporter.sampler.should_sample(sampled) == expected, LIMIT)  # noqa: B023  asked at once
    assert is_quiet(browser)
