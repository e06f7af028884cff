"""Tables say what was measured, mark what is best as printed, and hide nothing."""

from __future__ import annotations

from pathlib import Path

from make_records import TITLES, make_record, store_values, write_done, write_stopped

from fplbench.records.record import Metric
from fplbench.records.results import load_results
from fplbench.records.store import Store
from fplbench.report.entries import Entry
from fplbench.report.escape import beyond_pdflatex, latex
from fplbench.report.layout import Layout, Row
from fplbench.report.tables import layouts, write_tables
from fplbench.report.tex import label


def headline(root: Path) -> Layout:
    (layout,) = [x for x in layouts(load_results(root), TITLES) if x.kind == "headline"]
    return layout


def locals_of(layout: Layout) -> dict[str, Entry]:
    return {row.label: row.entries[0] for row in layout.rows}


def test_mean_and_sample_deviation_over_seeds(tmp_path: Path) -> None:
    store_values(tmp_path, {"promptfl": [70.0, 72.0, 74.0], "coop": [60.0, 60.0, 60.0]})
    layout = headline(tmp_path)
    entry = locals_of(layout)["PromptFL"]
    assert (entry.text, entry.spread, entry.seeds) == ("72.0", "2.0", 3)
    assert "standard deviation over 3 seeds" in layout.caption
    for said in ("digits", "personal", "Dirichlet(0.3)", "backbone tiny", "10 rounds"):
        assert said in layout.caption
    assert "2 local epochs" in layout.caption
    assert "16 context tokens" in layout.caption
    assert "last round" in layout.caption


def test_a_caption_counts_as_one_speaks(tmp_path: Path) -> None:
    once = {"rounds": 1, "local_epochs": 1}
    store_values(tmp_path, {"coop": [70.0]}, training=once, settings={"n_ctx": 1})
    caption = headline(tmp_path).caption
    assert "1 round, 1 local epoch, 1 context token." in caption


def test_what_records_say_of_their_data_stands_below(tmp_path: Path) -> None:
    left_out = "3 images unusable and left out (--skip-broken)"
    store_values(tmp_path, {"promptfl": [70.0, 72.0]}, notes=[left_out, "other weights"])
    store_values(tmp_path, {"coop": [60.0]}, notes=["other weights"])
    notes = headline(tmp_path).notes
    assert [note for note in sorted(notes) if note.startswith("digits")] == [
        f"digits: {left_out}.",
        "digits: other weights.",
    ]


def test_one_seed_has_no_deviation(tmp_path: Path) -> None:
    store_values(tmp_path, {"promptfl": [70.0]})
    layout = headline(tmp_path)
    assert locals_of(layout)["PromptFL"].spread is None
    assert "One seed, so no standard deviation" in layout.caption


def test_rows_follow_the_titles_and_the_unknown_comes_last(tmp_path: Path) -> None:
    store_values(tmp_path, {"fedpgp": [1.0], "coop": [2.0], "zeroshot": [3.0]})
    results = load_results(tmp_path)
    results.loc[results["method"] == "coop", "method"] = "another"
    labels = [row.label for row in layouts(results, TITLES)[0].rows]
    assert labels == ["CLIP zero-shot", "FedPGP", "another"]


def marks(root: Path) -> dict[str, str]:
    return {label: entry.mark for label, entry in locals_of(headline(root)).items()}


BOLD, PLAIN = "best", ""


def test_the_best_is_marked_alone_where_seeds_do_not_explain_its_lead(tmp_path: Path) -> None:
    values = {
        "zeroshot": [60.0, 60.0, 60.0],
        "coop": [70.0, 74.0, 72.0],
        "promptfl": [80.0, 84.1, 81.9],
    }
    store_values(tmp_path, values)
    assert marks(tmp_path) == {"CLIP zero-shot": PLAIN, "CoOp (local)": PLAIN, "PromptFL": BOLD}
    assert "Bold: the best of a column and those not told from it" in headline(tmp_path).caption


def test_what_seeds_explain_is_marked_like_the_best(tmp_path: Path) -> None:
    """The best one's lead over the second is one lucky seed, that over zero-shot is not."""
    values = {
        "zeroshot": [60.0, 60.0, 60.0],
        "coop": [70.0, 74.0, 72.0],
        "promptfl": [80.0, 74.0, 72.0],
    }
    store_values(tmp_path, values)
    assert marks(tmp_path) == {"CLIP zero-shot": PLAIN, "CoOp (local)": BOLD, "PromptFL": BOLD}


def test_one_seed_marks_nothing_and_says_why(tmp_path: Path) -> None:
    store_values(tmp_path, {"zeroshot": [60.0], "coop": [90.0]})
    assert set(marks(tmp_path).values()) == {PLAIN}
    assert "one seed cannot tell a difference from chance" in headline(tmp_path).caption


def test_a_table_of_one_method_compares_nothing(tmp_path: Path) -> None:
    """Its two columns are no rivals."""
    store_values(tmp_path, {"coop": [90.0, 91.0]})
    assert set(marks(tmp_path).values()) == {PLAIN}
    assert "best" not in headline(tmp_path).caption


def test_what_prints_the_same_is_marked_the_same(tmp_path: Path) -> None:
    """Also where a test without chance in it would tell them apart."""
    store_values(tmp_path, {"zeroshot": [80.04] * 3, "coop": [79.96] * 3, "promptfl": [1.0] * 3})
    found = marks(tmp_path)
    assert (found["CLIP zero-shot"], found["CoOp (local)"]) == (BOLD, BOLD)


def average_of(root: Path, kind: str = "average") -> Layout:
    (layout,) = [x for x in layouts(load_results(root), TITLES) if x.kind == kind]
    return layout


def many_data_sets(root: Path, sets: int = 6) -> Store:
    """FedPGP leads PromptFL by 5 and that one zero-shot by 10, on sets of different difficulty."""
    store, leads = Store(root), {"zeroshot": 0.0, "promptfl": 10.0, "fedpgp": 15.0}
    for place in range(sets):
        for method, lead in leads.items():
            for seed in range(3):
                chance = 0.0 if method == "zeroshot" else (seed - 1) * (1 + place % 2)
                chance += 0.05 * (seed - 1) if method == "fedpgp" else 0.0
                metrics = {"local": Metric(mean=40.0 + 5 * place + lead + chance)}
                name = f"set{place}"
                write_done(store, make_record(method, name, "personal", seed, metrics=metrics))
    return store


def test_an_average_is_over_data_sets_and_its_deviation_over_seeds(tmp_path: Path) -> None:
    many_data_sets(tmp_path, 2)
    layout = average_of(tmp_path)
    entry = locals_of(layout)["FedPGP"]
    assert (entry.text, entry.spread) == ("57.5", "1.5")  # 55 and 60; chances of 1 and 2 a seed
    assert {row.label: row.entries[0].mark for row in layout.rows} == {
        "CLIP zero-shot": "",
        "PromptFL": "",
        "FedPGP": "best",
    }
    assert "t-tests over seeds' averages" in layout.caption


def test_an_average_is_over_the_seeds_that_all_data_sets_have(tmp_path: Path) -> None:
    store = many_data_sets(tmp_path, 2)
    for method in ("promptfl", "fedpgp"):
        metrics = {"local": Metric(mean=99.0)}
        write_done(store, make_record(method, "set0", "personal", 3, metrics=metrics))
    layout = average_of(tmp_path)
    entry = locals_of(layout)["FedPGP"]
    assert (entry.text, entry.seeds, entry.fewer) == ("57.5", 3, False)
    assert "over 3 seeds, those that all data sets have" in layout.caption


def test_a_method_that_lacks_a_data_set_has_no_average_and_no_rank(tmp_path: Path) -> None:
    store = many_data_sets(tmp_path)
    for seed in range(3):
        write_done(store, make_record("coop", "set0", "personal", seed))
        write_stopped(store, make_record("coop", "set1", "personal", seed))
        write_stopped(store, make_record("fedotp", "set1", "personal", seed))
    for kind in ("average", "rank"):
        layout = average_of(tmp_path, kind)
        assert locals_of(layout)["CoOp (local)"].text == "part."
        assert locals_of(layout)["CoOp (local)"].mean is None
        assert "CoOp (local)" in next(note for note in layout.notes if note.startswith("part."))
    texts = {row.label: row.entries[0].text for row in average_of(tmp_path, "rank").rows}
    assert (texts["FedPGP"], texts["PromptFL"], texts["CLIP zero-shot"]) == ("1.00", "2.00", "3.00")


def test_a_seed_that_diverged_leaves_an_average_unranked(tmp_path: Path) -> None:
    store = many_data_sets(tmp_path)
    write_done(store, make_record("coop", "set0", "personal", 0))
    for place in range(6):
        for seed in range(3):
            record = make_record("fedotp", f"set{place}", "personal", seed)
            (write_stopped if place + seed == 0 else write_done)(store, record)
    average = locals_of(average_of(tmp_path))["FedOTP"]
    assert (average.fewer, average.seeds, average.mark) == (True, 2, "")
    assert locals_of(average_of(tmp_path, "rank"))["FedOTP"].text == "part."


def test_costs_stand_beside_accuracy(tmp_path: Path) -> None:
    cpu = {"cpu": "Some CPU", "device": "cpu", "step_bytes_client": 4_000_000, "clients_at_once": 5}
    for seed in range(2):
        write_done(
            Store(tmp_path),
            make_record(
                "promptfl",
                seed=seed,
                peak_bytes=3_000_000_000,
                round_seconds=[0.5 - 0.1 * seed, 2.0, 9.0],
                hardware=cpu | {"threads": 2 + seed},
            ),
        )
    layout = average_of(tmp_path, "cost")
    titles = [title for _, title in layout.titles]
    assert titles == ["Param.", "MB up", "MB down", "s/round", "MB step"]
    seconds, step = layout.rows[0].entries[3:]
    assert (f"{seconds.text} {seconds.range}", step.text) == ("2 (0.4-9)", "20")
    notes = " ".join(layout.notes)
    assert "computed together, 5." in notes
    assert "Some CPU, 2 threads and Some CPU, 3 threads" in notes
    assert "different hardware" in notes
    write_tables(load_results(tmp_path), tmp_path / "out", TITLES)
    assert "2 (0.4-9)" in (tmp_path / "out" / "tables.md").read_text()
    assert r"{\tiny(0.4--9)}" in (tmp_path / "out" / "base2novel-cost.tex").read_text()


def test_the_peak_of_a_gpu_is_shown_and_that_of_a_process_is_not(tmp_path: Path) -> None:
    gpu = {"device": "cuda:0", "gpu": "Some GPU"}
    write_done(Store(tmp_path), make_record("promptfl", hardware=gpu, peak_bytes=3_000_000_000))
    write_done(Store(tmp_path), make_record("coop", peak_bytes=5_000_000_000))
    layout = average_of(tmp_path, "cost")
    assert [title for _, title in layout.titles][-1] == "MB peak"
    assert {row.label: row.entries[-1].text for row in layout.rows} == {
        "CoOp (local)": "--",
        "PromptFL": "3,000",
    }


def test_a_record_from_before_has_a_mean_and_says_so(tmp_path: Path) -> None:
    write_done(Store(tmp_path), make_record("promptfl", training={"rounds": 4}))
    layout = average_of(tmp_path, "cost")
    assert [entry.text for entry in layout.rows[0].entries][3:] == ["3", "--"]
    assert layout.rows[0].entries[3].range == ""
    assert any("is a mean, of records from before ranges: PromptFL" in n for n in layout.notes)


def test_where_all_are_equal_none_is_best(tmp_path: Path) -> None:
    store_values(tmp_path, {"zeroshot": [50.0], "coop": [50.0]})
    assert {entry.mark for entry in locals_of(headline(tmp_path)).values()} == {""}


def test_a_diverged_seed_is_never_averaged_away(tmp_path: Path) -> None:
    values: dict[str, list[float | None]] = {
        "promptfl": [70.0, 72.0, 74.0],
        "zeroshot": [60.0, 60.0, 60.0],
        "fedpgp": [90.0, None, 92.0],
        "fedotp": [None, None, None],
    }
    store_values(tmp_path, values)
    layout = headline(tmp_path)
    entries = locals_of(layout)
    assert (entries["FedPGP"].text, entries["FedPGP"].seeds) == ("91.0", 2)
    assert entries["FedPGP"].fewer
    assert entries["FedPGP"].mark == ""
    assert entries["PromptFL"].mark == "best"
    assert entries["FedOTP"].text == "div."

    out = tmp_path / "tables"
    write_tables(load_results(tmp_path), out, TITLES)
    assert r"FedPGP$^{\dagger2}$ & 91.0" in (out / "personal.tex").read_text()
    assert "| FedPGP †2 | 91.0 ± 1.4 |" in (out / "tables.md").read_text()
    notes = " ".join(layout.notes)
    assert "2 seeds" not in layout.caption
    assert "mean over n seeds only" in notes
    assert "diverged: FedPGP on digits, seed 1: the loss is not finite" in notes


def test_a_seed_that_stopped_for_one_method_and_nobody_else_ran_marks_that_method_alone(
    tmp_path: Path,
) -> None:
    store = store_values(tmp_path, {"promptfl": [60.0, 61.0], "fedpgp": [70.0, 71.0]})
    write_stopped(store, make_record("fedpgp", "digits", "personal", 2))
    layout = headline(store.root)
    found = locals_of(layout)
    assert (found["PromptFL"].fewer, found["FedPGP"].fewer) == (False, True)
    assert "over 2 seeds" in str(layout.caption)


def test_failed_missing_and_not_applicable_are_words(tmp_path: Path) -> None:
    store = store_values(tmp_path, {"promptfl": [70.0, 71.0]})
    for seed in range(2):
        write_stopped(store, make_record("fedotp", "digits", "personal", seed), "failed")
        reason = {"global": "it has no shared prompt"}
        metrics = {"local": Metric(mean=80.0 + seed)}
        write_done(
            store,
            make_record("coop", "digits", "personal", seed, metrics=metrics, not_applicable=reason),
        )
    write_done(
        store,
        make_record("fedpgp", "shapes", "personal", 0, metrics={"local": Metric(mean=80.0)}),
    )
    layout = headline(tmp_path)
    rows = {row.label: [entry.text for entry in row.entries] for row in layout.rows}
    assert layout.titles == [("digits", "Local"), ("digits", "Global"), ("shapes", "Local")]
    assert rows["FedOTP"] == ["fail", "fail", "--"]
    assert rows["CoOp (local)"] == ["80.5", "n/a", "--"]
    assert rows["FedPGP"] == ["--", "--", "80.0"]
    assert "n/a, CoOp (local), Global: it has no shared prompt." in layout.notes
    assert "2 (digits) and 1 (shapes) seeds" in layout.caption


def test_settings_of_a_method_are_rows_and_those_of_a_scenario_are_tables(tmp_path: Path) -> None:
    store_values(tmp_path, {"fedpgp": [70.0]}, settings={"n_ctx": 16, "mu": 0.5})
    store_values(tmp_path, {"fedpgp": [71.0]}, settings={"n_ctx": 16, "mu": 1.0})
    store_values(tmp_path, {"fedpgp": [72.0]}, scenario_settings={"clients": 10, "alpha": 0.1})
    tables = [x for x in layouts(load_results(tmp_path), TITLES) if x.kind == "headline"]
    assert [table.name for table in tables] == ["personal-alpha=0p1", "personal-alpha=0p3"]
    assert [row.label for row in tables[0].rows] == ["FedPGP"]
    assert [row.label for row in tables[1].rows] == ["FedPGP (mu=0.5)", "FedPGP (mu=1)"]
    assert "alpha=0.1" in tables[0].caption


def test_a_setting_that_is_no_default_is_named_though_all_rows_share_it(tmp_path: Path) -> None:
    settings = {"n_ctx": 16, "mu": 0.0, "rank": 8}
    changed = ["set.mu", "train.batch_size", "train.lr", "scen.min_train", "train.evaluations"]
    training = {"rounds": 9, "lr": 0.02, "batch_size": 8, "momentum": 0.9, "evaluations": 1}
    scenario = {"clients": 10, "alpha": 0.3, "min_train": 5}
    store_values(
        tmp_path,
        {"fedpgp": [70.0, 71.0]},
        settings=settings,
        changed=changed,
        training=training,
        scenario_settings=scenario,
    )
    layout = headline(tmp_path)
    assert [row.label for row in layout.rows] == ["FedPGP (mu=0)"]
    assert "9 rounds, lr 0.02, batch size 8, min train 5, 16 context tokens" in layout.caption


def test_a_record_from_before_follows_the_word_of_others(tmp_path: Path) -> None:
    """It is a seed of the same settings, whatever it knew of defaults."""
    settings = {"n_ctx": 16, "mu": 0.0}
    make = {"settings": settings, "metrics": {"local": Metric(mean=70.0)}}
    store = Store(tmp_path)
    write_done(store, make_record("fedpgp", "digits", "personal", 0, **make))
    assert [row.label for row in headline(tmp_path).rows] == ["FedPGP"]
    write_done(store, make_record("fedpgp", "digits", "personal", 1, changed=["set.mu"], **make))
    (row,) = headline(tmp_path).rows
    assert (row.label, row.entries[0].seeds) == ("FedPGP (mu=0)", 2)


def test_what_all_methods_changed_alike_is_said_once(tmp_path: Path) -> None:
    about = {"settings": {"n_ctx": 4, "csc": True}, "changed": ["set.n_ctx", "set.csc"]}
    store_values(tmp_path, {"zeroshot": [50.0]}, settings={}, changed=[])
    store_values(tmp_path, {"promptfl": [70.0], "coop": [71.0]}, **about)
    layout = headline(tmp_path)
    assert [row.label for row in layout.rows] == ["CLIP zero-shot", "CoOp (local)", "PromptFL"]
    assert "4 context tokens, csc True" in layout.caption


def test_budgets_and_backbones_are_tables_of_their_own(tmp_path: Path) -> None:
    store_values(tmp_path, {"promptfl": [70.0]})
    store_values(tmp_path, {"promptfl": [71.0]}, training={"rounds": 50})
    store_values(tmp_path, {"promptfl": [72.0]}, backbone="ViT-B-16:openai")
    tables = [x for x in layouts(load_results(tmp_path), TITLES) if x.kind == "headline"]
    assert sorted(row.entries[0].text for table in tables for row in table.rows) == [
        "70.0",
        "71.0",
        "72.0",
    ]
    assert len(tables) == len({table.name for table in tables}) == 3


def test_numbers_from_validation_images_stand_apart_and_say_so(tmp_path: Path) -> None:
    store_values(tmp_path, {"promptfl": [70.0]}, training={"rounds": 9, "evaluate_on": "test"})
    store_values(
        tmp_path, {"promptfl": [71.0]}, training={"rounds": 9, "evaluate_on": "validation"}
    )
    tables = [x for x in layouts(load_results(tmp_path), TITLES) if x.kind == "headline"]
    said = {x.rows[0].entries[0].text: "validation images" in x.caption for x in tables}
    assert said == {"70.0": False, "71.0": True}


def test_two_versions_of_a_method_are_not_seeds_of_one(tmp_path: Path) -> None:
    for version, value in (("a1", 70.0), ("b2", 80.0)):
        store_values(tmp_path, {"promptfl": [value]}, identity={"method": version})
    assert [row.label for row in headline(tmp_path).rows] == [
        "PromptFL (method=a1)",
        "PromptFL (method=b2)",
    ]


def test_other_weights_and_protocols_are_tables_of_their_own(tmp_path: Path) -> None:
    """With the reason."""
    for value, weights, protocol in ((70.0, "w1", 1), (80.0, "w1", 2), (90.0, "w2", 2)):
        identity = {"weights": weights}
        store_values(tmp_path, {"promptfl": [value]}, identity=identity, protocol=protocol)
    tables = [x for x in layouts(load_results(tmp_path), TITLES) if x.kind == "headline"]
    said = {x.rows[0].entries[0].text: x.caption for x in tables}
    assert "protocol=1, weights=w1" in said["70.0"]
    assert "protocol=2, weights=w1" in said["80.0"]
    assert "protocol=2, weights=w2" in said["90.0"]


def test_two_versions_of_data_are_two_columns_and_no_average(tmp_path: Path) -> None:
    for version, value in (("d1", 70.0), ("d2", 80.0)):
        store_values(tmp_path, {"promptfl": [value]}, identity={"data": version})
    tables = layouts(load_results(tmp_path), TITLES)
    (layout,) = [x for x in tables if x.kind == "headline"]
    assert [data for data, _ in layout.heads] == ["digits (data=d1)", "digits (data=d2)"]
    assert "two versions of digits" in " ".join(layout.notes)
    assert not [x for x in tables if x.kind == "average"]


def test_versions_of_a_method_on_two_data_sets_are_not_one_average(tmp_path: Path) -> None:
    for data, version in (("digits", "a1"), ("shapes", "b2")):
        record = make_record("promptfl", data, "personal", 0, identity={"method": version})
        write_done(Store(tmp_path), record)
    labels = {row.label: row.entries[0].text for row in average_of(tmp_path).rows}
    assert labels == {"PromptFL (method=a1)": "part.", "PromptFL (method=b2)": "part."}


def test_the_same_cell_run_twice_counts_once_and_is_told(tmp_path: Path) -> None:
    for finished, value in (("2026-01-02", 70.0), ("2026-01-01", 80.0)):
        store_values(tmp_path, {"promptfl": [value]}, finished=finished)
    layout = headline(tmp_path)
    assert locals_of(layout)["PromptFL"].text == "70.0"
    assert locals_of(layout)["PromptFL"].seeds == 1
    assert "run more than once" in " ".join(layout.notes)


def test_two_methods_of_one_title_stay_two_rows(tmp_path: Path) -> None:
    store_values(tmp_path, {"promptfl": [70.0], "coop": [80.0]})
    tables = layouts(load_results(tmp_path), {"promptfl": "Same", "coop": "Same"})
    assert [row.label for row in tables[0].rows] == ["Same, promptfl", "Same, coop"]


def test_the_commands_that_make_a_tables_cells_are_comments_below_and_end_nowhere(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path / "runs")
    for method in ("promptfl", "coop"):
        for seed in range(2):
            write_done(store, make_record(method, "digits", "personal", seed))
            # A name that would end a comment of LaTeX or HTML.
            write_done(store, make_record(method, "a-->\n\\input{x}", "personal", seed))
    results = load_results(store.root)
    write_tables(results, tmp_path, TITLES, records=store.records())
    said = "fplbench run --methods coop,promptfl --datasets "
    (tex,) = [
        file.read_text() for file in tmp_path.glob("personal*.tex") if said in file.read_text()
    ][:1]
    lines = [line for line in tex.splitlines() if "fplbench run" in line]
    assert lines
    assert all(line.startswith(f"% {said}") for line in lines)
    assert all("--scenario personal --seeds 0,1 " in line for line in lines)
    assert "input{x}" not in "".join(x for x in tex.splitlines() if not x.startswith("%"))
    text = (tmp_path / "tables.md").read_text()
    assert said in text
    assert text.count("<!--") == text.count("-->") == text.count("\n-->\n") > 0


def test_bold_says_among_whom_where_some_methods_lack_seeds(tmp_path: Path) -> None:
    store_values(tmp_path, {"promptfl": [70.0, 71.0, 70.5], "coop": [60.0, 60.5, 60.2]})
    caption = headline(tmp_path).caption
    assert "Bold: the best of a column and those" in caption
    store_values(tmp_path, {"fedpgp": [90.0, 91.0]})
    assert marks(tmp_path) == {"PromptFL": "best", "CoOp (local)": "", "FedPGP": ""}
    caption = headline(tmp_path).caption
    assert "Bold: the best of a column among methods with all the seeds and those" in caption


def test_a_rank_that_lacks_a_seed_says_so_and_no_more(tmp_path: Path) -> None:
    for data in ("digits", "shapes", "dtd"):
        every = {"promptfl": 70.0, "coop": 60.0, "fedpgp": 80.0, "zeroshot": 50.0, "fedotp": 65.0}
        for method, value in every.items():
            for seed in range(2 if (method, data) == ("fedpgp", "dtd") else 3):
                metrics = {"local": Metric(mean=value + seed)}
                write_done(
                    Store(tmp_path), make_record(method, data, "personal", seed, metrics=metrics)
                )
    (rank,) = [x for x in layouts(load_results(tmp_path), TITLES) if x.kind == "rank"]
    assert "part.: not every seed on every data set, so not ranked: FedPGP." in rank.notes


def test_every_metric_stands_in_some_table(tmp_path: Path) -> None:
    """As of a federation over several data sets, or with new clients."""
    heads = ("local", "global", "new_local", "new_global", "tuned_local", "tuned_global")
    names = (*heads, "base/digits", "global/shapes", "domain/photo", "local_own")
    for data in ("digits", "shapes"):
        metrics = {name: Metric(mean=50.0) for name in names}
        record = make_record("coop", data, "personal", metrics=metrics, headline=list(heads))
        write_done(Store(tmp_path), record)
    found = layouts(load_results(tmp_path), TITLES)
    one_by_one = {
        q for x in found if x.kind in ("headline", "domains", "more") for q in x.quantities
    }
    assert one_by_one == set(names)
    averages = [x for x in found if x.kind == "average"]
    assert [q for x in averages for q in x.quantities] == list(heads)
    assert len({x.name for x in averages}) == 2


def test_a_label_that_latex_would_take_for_an_argument_is_kept_from_it() -> None:
    for text in ("[CoOp] x", "*best", "CoOp"):
        shown = label(Row(text, []))
        assert shown == (text if text == "CoOp" else f"{{}}{text}")
    for name in ("\u0111", "\u00f0", "\u0105"):
        assert beyond_pdflatex(latex(name))
    assert not beyond_pdflatex(latex("caf\u00e9 \u0142 \u0161"))
