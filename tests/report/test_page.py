"""The page in a real browser: it sorts, filters, shows a cell, and believes no text."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
import pytest
from make_records import TITLES, make_record, write_done, write_stopped

import fplbench.report
from fplbench.errors import UserError
from fplbench.records import command
from fplbench.records.record import Failure
from fplbench.records.results import read_cells
from fplbench.records.store import Store
from fplbench.report.page import SCRIPTS, write_page

VENDOR = Path(fplbench.report.__file__).parent / "vendor"
EVIL = '</script><script>hacked=1</script><img src=x onerror="hacked=1"> & \u2028 "\'{{7*7}}'

needs_browser = pytest.mark.skipif(bool(chromium.missing()), reason=chromium.missing())


def page_of(root: Path, out: Path, titles: dict[str, str] = TITLES) -> Path:
    return write_page(*read_cells(root), out / "report.html", titles)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium.browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, comparison: Path) -> str:
    """The comparison's page, with a cell that diverged."""
    return page_of(comparison, tmp_path_factory.mktemp("page")).as_uri()


@pytest.fixture
def page(driver: Any, url: str) -> Iterator[Any]:
    """The page as it opens; whatever a test does, the console stays empty."""
    open_page(driver, url)
    yield driver
    assert driver.get_log("browser") == []


def open_page(driver: Any, url: str) -> None:
    chromium.shape(driver, 1280, 1000)
    driver.get("about:blank")
    driver.get_log("browser")
    driver.get(url)


def run(driver: Any, script: str, *values: object) -> Any:
    return driver.execute_script(script, *values)


def texts(driver: Any, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent.trim())"
    return run(driver, script, selector)


def wait(driver: Any, script: str, seconds: float = 10) -> Any:
    """Until the script returns something."""
    until = time.monotonic() + seconds
    while not (found := run(driver, script)):
        assert time.monotonic() < until, f"never true: {script}"
        time.sleep(0.02)
    return found


def choose(driver: Any, name: str, value: str) -> None:
    run(
        driver,
        "const s = document.querySelector(`select[name=${arguments[0]}]`); s.value = arguments[1];"
        "s.dispatchEvent(new Event('change', {bubbles: true}))",
        name,
        value,
    )


def column(driver: Any, place: int) -> list[str]:
    """The first leaderboard's column, as printed."""
    cells = texts(driver, f".board:first-child tbody tr > :nth-child({place})")
    return [cell.split(" ")[0] for cell in cells]


def sort_button(driver: Any, title: str) -> Any:
    script = (
        "return [...document.querySelectorAll('.board thead button')]"
        ".find(b => b.firstChild.textContent === arguments[0])"
    )
    return run(driver, script, title)


@needs_browser
def test_a_column_sorts_both_ways_and_the_address_keeps_it(page: Any) -> None:
    sort_button(page, "Novel").click()
    falling = [float(text) for text in column(page, 4)]
    assert falling == sorted(falling, reverse=True)
    assert len(set(falling)) > 1
    assert run(page, "return document.querySelectorAll('[aria-sort=descending]').length") >= 1
    assert "sort=novel" in page.current_url
    sort_button(page, "Novel").click()
    assert [float(text) for text in column(page, 4)] == falling[::-1]
    assert run(page, "return document.activeElement.firstChild.textContent") == "Novel"


@needs_browser
def test_filters_narrow_the_boards_and_a_link_restores_them(page: Any) -> None:
    assert texts(page, ".board h2") == ["All 2 data sets", "digits", "shapes", "shapes_domains"]
    choose(page, "scenario", "base2novel")
    choose(page, "data", "shapes")
    assert texts(page, ".board h2") == ["shapes"]
    assert texts(page, "#shown") == ["1 of 4 leaderboards"]
    link = page.current_url
    page.get("about:blank")
    page.get(link)
    assert texts(page, ".board h2") == ["shapes"]
    assert run(page, "return document.querySelector('select[name=data]').value") == "shapes"
    choose(page, "scenario", "domains")
    assert texts(page, "#boards") == ["No results fit these filters."]


@needs_browser
def test_numbers_are_the_tables(page: Any, comparison: Path) -> None:
    from fplbench.records.results import load_results
    from fplbench.report.tables import layouts

    (table,) = [x for x in layouts(load_results(comparison), TITLES) if x.name == "domains"]
    rows = run(
        page,
        "return [...document.querySelectorAll('#boards > :last-child tbody tr')].map("
        "r => [...r.children].slice(0, 3).map(c => c.innerText))",
    )
    assert len(rows) == len(table.rows)
    for (label, *shown), row in zip(rows, table.rows, strict=True):
        assert label.strip() == row.label
        wanted = [f"{e.text} ± {e.spread}" for e in row.entries]
        assert [re.sub(r"\s*\(.*", "", text) for text in shown] == wanted


@needs_browser
def test_the_commands_that_make_a_board_again_are_of_all_its_cells(
    page: Any, comparison: Path
) -> None:
    found = run(page, "return data.boards.map(b => [b.data, b.commands])")
    records = [record for _, record in read_cells(comparison)[0]]
    for name, commands in found:
        mine = [r for r in records if name in ("", r.dataset)]
        if name:
            assert commands == command.lines(mine)
        seeds = [line for line in commands if "--seeds 0,1,2" in line]
        assert len(seeds) == len(commands) < len(mine)
    shown = texts(page, "details pre code")
    assert all("\n".join(commands) in shown for _, commands in found)
    assert run(page, "return document.querySelectorAll('details[open]').length") == 0


def test_a_cell_shows_all_of_its_record(page: Any, comparison: Path) -> None:
    record = next(r for _, r in read_cells(comparison)[0] if r.method == "fedpgp")
    run(page, "location.hash = 'cell=' + arguments[0]", record.id)
    wait(page, "return !document.getElementById('cell').hidden")
    text = texts(page, "#cell")[0]
    for said in (record.id, "n_ctx", "local_epochs", "Settings of the scenario", "shots", "train"):
        assert said in text
    assert f"{record.metrics['novel'].mean:.2f}" in text
    assert r"\toprule" in text
    assert page.title == f"FedPGP on {record.dataset}, seed {record.seed}"
    wait(page, "return document.querySelectorAll('#cell svg').length === 2")
    page.find_element("link text", "← All leaderboards").click()
    wait(page, "return !document.getElementById('boards').hidden")


@needs_browser
def test_a_setting_is_shown_as_it_is(driver: Any, tmp_path: Path) -> None:
    """Small, empty and missing ones too."""
    settings = {
        "decay": 0.0005,
        "tiny": 1e-12,
        "large": 1234567,
        "no": None,
        "word": "",
        "is": True,
    }
    write_done(Store(tmp_path / "store"), make_record(settings=settings))
    record = Store(tmp_path / "store").records()[0]
    open_page(driver, page_of(tmp_path / "store", tmp_path).as_uri() + f"#cell={record.id}")
    rows = run(
        driver,
        "return [...document.querySelector('.facts table').rows].map("
        "r => [...r.cells].map(c => c.textContent))",
    )
    shown = ["0.0005", "1e-12", "1,234,567", "none", "(empty)", "true"]
    assert rows == [[name, text] for name, text in zip(settings, shown, strict=True)]


@needs_browser
def test_points_say_what_they_are_and_lead_to_their_cell(page: Any) -> None:
    links = wait(
        page,
        "return [...document.querySelector('.charts').querySelectorAll('svg a')].map("
        "a => [a.getAttribute('aria-label'), a.href.baseVal])",
    )
    assert len(links) == 6 * 3
    assert all(re.match(r".+, seed \d: Local [\d.]+ %, Novel [\d.]+ %", name) for name, _ in links)
    run(page, "document.querySelector('.charts svg a').focus()")
    assert links[0][0] in texts(page, "figcaption")
    run(page, "location.hash = arguments[0]", links[0][1])
    wait(page, "return !document.getElementById('cell').hidden")


@needs_browser
def test_it_works_by_keyboard(page: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    seen = []
    for _ in range(14):
        page.switch_to.active_element.send_keys(Keys.TAB)
        seen.append(run(page, "return document.activeElement.textContent.trim().slice(0, 22)"))
    assert seen[0] == "Skip to the results"
    assert "Novel" in seen
    sort_button(page, "HM").send_keys(Keys.ENTER)
    assert "sort=hm" in page.current_url


@needs_browser
def test_everything_has_a_name_for_a_screen_reader(page: Any) -> None:
    wait(page, "return document.querySelectorAll('.charts svg').length >= 2")
    unnamed = run(
        page,
        """
        const named = e => e.getAttribute('aria-label') || e.textContent.trim()
            || (e.labels && e.labels.length && e.labels[0].textContent.trim());
        return [...document.querySelectorAll('select, button, a, input, [role=region]')]
            .filter(e => !named(e)).map(e => e.outerHTML.slice(0, 80))
          .concat([...document.querySelectorAll('figure svg')]
            .filter(e => !e.getAttribute('aria-label')).map(() => 'svg'))
          .concat([...document.querySelectorAll('figure svg [aria-label]:not(a)')]
            .filter(e => !e.getAttribute('role')).map(e => e.outerHTML.slice(0, 80)))
          .concat([...document.querySelectorAll('table')]
            .filter(t => !t.querySelector('thead th[scope=col]')).map(() => 'table'));
        """,
    )
    assert unnamed == []
    assert run(page, "return document.documentElement.lang") == "en"


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_and_the_dark(page: Any, dark: bool) -> None:
    chromium.shape(page, 390, 844, dark)
    wait(page, "return document.querySelector('.charts svg')")
    assert run(page, "return document.documentElement.scrollWidth") <= 390
    ground, ink = run(
        page, "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
    )
    light = [sum(map(int, re.findall(r"\d+", colour)[:3])) / 765 for colour in (ground, ink)]
    assert (light[0] < 0.2 and light[1] > 0.8) == dark
    assert (light[0] > 0.8 and light[1] < 0.2) != dark


@needs_browser
def test_it_loads_nothing(page: Any) -> None:
    assert run(page, "return performance.getEntriesByType('resource').length") == 0


@needs_browser
def test_no_text_becomes_markup(driver: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    evil = {
        "title": EVIL,
        "dataset": EVIL,
        "backbone": EVIL,
        "settings": {EVIL: EVIL},
        "versions": {EVIL: EVIL},
        "hardware": {"cpu": EVIL},
        "notes": [EVIL],
        "clients": [EVIL] * 10,
        "not_applicable": {EVIL: EVIL},
    }
    for seed in range(2):
        write_done(store, make_record("coop", seed=seed).model_copy(update=evil))
    failure = Failure(kind=EVIL, message=EVIL, traceback=EVIL)
    stopped = make_record("fedotp").model_copy(
        update={**evil, "status": "failed", "metrics": {}, "error": failure}
    )
    write_stopped(store, stopped, "failed")
    (store.root / "torn").mkdir()
    (store.root / "torn" / "record.json").write_text(EVIL)
    titles = {"coop": EVIL, "fedotp": EVIL}
    open_page(driver, page_of(store.root, tmp_path, titles).as_uri())
    wait(driver, "return document.querySelectorAll('.charts svg').length >= 1")
    assert EVIL.split(" ")[0] in texts(driver, "tbody th")[0]
    for record in store.records():
        run(driver, "location.hash = 'cell=' + encodeURIComponent(arguments[0])", record.id)
        wait(driver, "return !document.getElementById('cell').hidden")
        time.sleep(0.2)
    assert run(driver, "return typeof hacked") == "undefined"
    assert run(driver, "return document.querySelectorAll('img').length") == 0
    assert driver.get_log("browser") == []


@needs_browser
def test_a_stopped_cell_and_a_torn_one_are_told(driver: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    write_done(store, make_record("promptfl"))
    write_stopped(store, make_record("fedotp"))
    (store.root / "torn").mkdir()
    (store.root / "torn" / "record.json").write_text("{")
    open_page(driver, page_of(store.root, tmp_path).as_uri())
    assert "div." in texts(driver, "tbody")[0]
    assert "0 diverged" in texts(driver, "td.cells")
    assert "torn" in texts(driver, "[aria-labelledby=left-out]")[0]
    assert "1 of them stopped" in texts(driver, "#summary")[0]
    driver.find_element("link text", "0 diverged").click()
    wait(driver, "return !document.getElementById('cell').hidden")
    assert "the loss is not finite (round 3, client 4)" in texts(driver, "#cell")[0]
    assert driver.get_log("browser") == []


@needs_browser
@pytest.mark.slow
def test_a_thousand_cells_are_small_and_open_at_once(driver: Any, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    cells = [
        (method, f"data{place}", scenario, seed)
        for place in range(9)
        for scenario in ("base2novel", "personal", "domains")
        for method in TITLES
        for seed in range(7)
    ][:1000]
    for cell in cells:
        write_done(store, make_record(*cell, rounds=50, clients=100))
    path = page_of(store.root, tmp_path)
    assert path.stat().st_size < 5e6
    open_page(driver, "about:blank")
    started = time.monotonic()
    driver.get(path.as_uri())
    wait(driver, "return document.querySelectorAll('.charts svg').length >= 2")
    assert time.monotonic() - started < 2
    assert texts(driver, "#summary")[0].startswith("1000 cells")
    assert driver.get_log("browser") == []


def test_the_file_holds_no_markup_of_a_record(tmp_path: Path) -> None:
    """Also where there is no browser to see it."""
    store = Store(tmp_path / "store")
    write_done(store, make_record(title=EVIL))
    text = page_of(store.root, tmp_path, {"promptfl": EVIL}).read_text()
    assert "<img" not in text
    assert "hacked" in text
    assert text.count("</script>") == len(SCRIPTS) + 1
    assert "\u2028" not in text
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', text)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert "unsafe-inline" not in policy[1].split("script-src")[1]


def test_vendored_files_are_what_their_page_says() -> None:
    table = (VENDOR / "README.md").read_text()
    for path in VENDOR.glob("*.js"):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert re.search(rf"`{re.escape(path.name)}`.*`{digest}`", table), path.name


def test_without_records_or_room_it_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no records"):
        page_of(tmp_path / "empty", tmp_path)
    write_done(Store(tmp_path / "store"), make_record())
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_page(*read_cells(tmp_path / "store"), tmp_path / "taken" / "x.html", TITLES)
