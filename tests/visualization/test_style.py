"""What all figures share, and how they become SVG."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import matplotlib as mpl
import pytest

from mnistlab.analysis.results import depth_table
from mnistlab.visualization.curves import draw_depth_performance
from mnistlab.visualization.style import LINE_STYLES, MARKERS, OKABE_ITO, draw_figure, figure_svg, inline_svg


def test_every_colour_has_a_line_and_a_marker_of_its_own():
    assert len(set(OKABE_ITO)) == len(set(LINE_STYLES)) == len(set(MARKERS)) == len(OKABE_ITO)


def test_the_same_table_gives_the_same_bytes_without_a_date(lab_results):
    first, second = (figure_svg(draw_figure(draw_depth_performance, depth_table(lab_results))) for _ in range(2))
    assert first == second
    assert "<dc:date>" not in first


def test_drawing_leaves_the_settings_of_others_alone(lab_results):
    before = dict(mpl.rcParams)
    figure_svg(draw_figure(draw_depth_performance, depth_table(lab_results)))
    assert dict(mpl.rcParams) == before


def test_an_inline_figure_is_well_formed_and_names_no_address(lab_results):
    svg = inline_svg(figure_svg(draw_figure(draw_depth_performance, depth_table(lab_results))), "depth")
    assert ElementTree.fromstring(svg).tag == "svg"
    assert "http" not in svg
    assert "resolution (" in svg


def test_ids_of_an_inline_figure_carry_its_name_and_every_reference_has_its_target(lab_results):
    svg = inline_svg(figure_svg(draw_figure(draw_depth_performance, depth_table(lab_results))), "depth")
    ids = set(re.findall(r'\bid="([^"]+)"', svg))
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg))
    assert all(name.startswith("depth-") for name in ids)
    assert {first or second for first, second in used} <= ids


def test_an_inline_figure_takes_its_colours_from_the_page(lab_results):
    svg = inline_svg(figure_svg(draw_figure(draw_depth_performance, depth_table(lab_results))), "depth")
    assert "currentColor" in svg
    assert set(re.findall(r"var\(--band[^)]*\)", svg)) == {"var(--band, #8894a047)"}  # seen where no page has a colour
    assert "var(--line-1, #0072B2)" in svg


def test_two_figures_of_one_name_share_no_id(lab_results):
    table = depth_table(lab_results)
    svgs = [
        inline_svg(figure_svg(draw_figure(draw_depth_performance, rows)), "depth")
        for rows in (table, table.head(3), table)
    ]
    first, other, again = (set(re.findall(r'\bid="([^"]+)"', svg)) for svg in svgs)
    assert first == again
    assert not first & other


def test_importing_the_package_loads_no_drawing_library():
    code = "import sys, mnistlab.visualization; print(*{'matplotlib', 'pandas', 'scipy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


@pytest.mark.slow
def test_drawing_prints_nothing_even_with_a_new_font_cache(tmp_path):
    code = """
import pandas as pd
from mnistlab.visualization import plot_depth_performance
row = {"activation": "relu", "accuracy": 0.97, "low": 0.96, "high": 0.98, "resolution": float("nan")}
plot_depth_performance(pd.DataFrame([{"depth": 1, **row}, {"depth": 2, **row}]))
"""
    environment = {"MPLCONFIGDIR": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert (done.stdout, done.stderr) == ("", "")
