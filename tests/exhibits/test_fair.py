"""What a tuned study shows: verdicts that change, rates that were tried, and what is missing where something is."""

from dataclasses import replace

import pytest

from mnistlab.exhibits.base import Shown
from mnistlab.exhibits.fair import FAIR
from mnistlab.exhibits.knobs import KNOBS
from mnistlab.exhibits.study import STUDY
from mnistlab.tabulation import frame_csv

BY_NAME = {exhibit.name: exhibit for exhibit in (*FAIR, *KNOBS, *STUDY)}


def shown(name, known):
    return Shown(BY_NAME[name], known)


def test_changed_verdicts_come_first_and_reversed_ones_before_all(tuned_evidence):
    columns, rows = shown("fair-verdicts", tuned_evidence).cells
    changes = [row[columns.index("changes")] for row in rows]
    assert changes == sorted(changes, key=("is reversed", "yes", "no").index)
    assert rows[0][:4] == ["1x256 relu, rate 0.0005", "1x16 relu, rate 0.008", "worse", "better"]
    assert rows[0][-1].startswith("mnistlab compare ")


def test_the_caption_counts_what_changes_and_names_it(tuned_evidence):
    caption = shown("fair-verdicts", tuned_evidence).caption
    table = shown("fair-verdicts", tuned_evidence).table
    assert "Verdicts on 3 pairs of cells" in caption
    assert f"{table['changed'].sum()} of 3 changed, {table['is_reversed'].sum()} of them reversed." in caption
    assert "1x256 relu, rate 0.0005 against 1x16 relu, rate 0.008: was worse (" in caption


def test_without_the_plain_study_the_caption_says_how_to_get_it(tuned_evidence):
    source = tuned_evidence.tuned_from
    alone = replace(source, cells=source.cells.iloc[:0], runs=source.runs.iloc[:0])
    found = shown("fair-verdicts", replace(tuned_evidence, tuned_from=alone))
    assert found.caption.startswith("No verdicts to set these beside: `mnistlab run widths.toml` trains the cells")
    found = shown("fair-verdicts", replace(tuned_evidence, tuned_from=replace(alone, command="")))
    assert found.caption.startswith("No verdicts to set these beside: the study widths by itself trains the cells")


def test_a_study_that_was_not_tuned_says_how_it_could_be(lab_evidence):
    for exhibit in FAIR:
        assert "`mnistlab run STUDY --tune learning_rate`" in Shown(exhibit, lab_evidence).caption


def test_the_table_of_rates_names_multiples_and_edges(tuned_evidence):
    columns, rows = shown("tuned-rates", tuned_evidence).cells
    assert columns[:7] == ["cell", "its rate", "× 1/16 %", "× 1/4 %", "× 1 %", "× 4 %", "× 16 %"]
    assert [row[1] for row in rows] == ["0.008", "0.002", "0.0005"]
    assert [row[columns.index("edge")] for row in rows] == ["–", "–", "lowest"]
    for row, factor in zip(rows, (2, 1, 0), strict=True):
        accuracies = list(map(float, row[2:7]))
        assert max(accuracies) == accuracies[factor]
    caption = shown("tuned-rates", tuned_evidence).caption
    assert "2 of 3 cells do best at another." in caption
    assert "beyond which a better rate may lie: 1 (1x256 relu, rate 0.0005 (lowest))." in caption


@pytest.mark.parametrize("name", ["fair-verdicts", "tuned-rates"])
def test_both_are_files_too(name, tuned_evidence):
    table = shown(name, tuned_evidence).table
    assert frame_csv(table).count("\n") == len(table) + 1


def test_figures_of_knobs_take_cells_with_other_rates_for_one_family(tuned_evidence):
    assert shown("width", tuned_evidence).table["width"].tolist() == [16, 64, 256]
    assert shown("learning-rate", tuned_evidence).table.empty
    assert "best of it on validation digits" in shown("effects", tuned_evidence).caption
