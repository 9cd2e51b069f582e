"""Numbers planted in documents are found, with their line; prose has none; nothing raises."""

import sys
import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mnistlab.claim_tables import read_claims
from mnistlab.tabulation import results_text

# Two tables as they stand in the document mnistlab started from, the end of a code line before the first header.
ORIGINAL = """\
metrics=['accuracy'])
return model| Nodes | Accuracy | Training Time (s) | Parameters |
|---|---|---|---|
| 4 | 85.2% | 12.3 | 3,214 |
| 32 | 92.1% | 15.7 | 25,962 |
| 64 | 94.5% | 18.2 | 51,914 |
| 128 | 96.2% | 22.8 | 103,818 |
| 512 | 97.1% | 35.6 | 415,242 |
| 2056 | 97.3% | 89.4 | 1,661,962 |
def plot_depth_performance():
    plt.title('Performance vs Network Depth')
- Early stopping
| Architecture | Accuracy | Training Time | Memory Usage |
|---|---|---|---|
| Basic FFN | 92.5% | 25s | 450MB |
| 4-Layer DNN | 95.8% | 45s | 680MB |
| 8-Layer DNN | 97.2% | 78s | 920MB |
| 16-Layer DNN | 97.5% | 156s | 1.2GB |
mnist-deep-learning/
"""


def found(text):
    return [(claim.line, claim.subject.text, claim.quantity, claim.number.value) for claim in read_claims(text)]


def values(text):
    return [(quantity, value) for _, _, quantity, value in found(text)]


def test_both_original_tables_are_read_with_a_header_glued_to_code():
    claims = found(ORIGINAL)
    assert len(claims) == 30
    assert claims[:3] == [
        (4, "4 nodes", "accuracy", 0.852), (4, "4 nodes", "seconds", 12.3), (4, "4 nodes", "parameters", 3214)
    ]  # fmt: skip
    assert claims[-3:] == [
        (18, "16-Layer DNN", "accuracy", 0.975), (18, "16-Layer DNN", "seconds", 156),
        (18, "16-Layer DNN", "bytes", 1_200_000_000),
    ]  # fmt: skip


def test_line_ends_of_windows_change_nothing():
    assert found(ORIGINAL.replace("\n", "\r\n")) == found(ORIGINAL)


@pytest.mark.parametrize(("written", "header", "value"), [
    ("85.2%", "Accuracy", 0.852), ("0.9745", "test accuracy", 0.9745), ("97.45", "accuracy %", 0.9745),
    ("0.9745", "Accuracy (%)", 0.9745), ("97,4 %", "acc", 0.974), ("**97.5 %**", "Accuracy", 0.975),
    ("3,214", "# Parameters", 3214), ("63 370", "params", 63_370), ("3.2k", "Total params", 3200),
    ("1.66M", "parameters", 1_660_000), ("1.66", "Params (M)", 1_660_000), ("~3,200", "parameters", 3200),
    ("25s", "Training Time", 25), ("12.3", "Training Time (s)", 12.3), ("2 min 10 s", "time", 130),
    ("1 h 20 min", "Time", 4800), ("1.5", "time (min)", 90), ("12 ms", "alone, ms a step", 0.012),
    ("450MB", "Memory Usage", 450_000_000), ("1.2 GB", "peak memory", 1_200_000_000), ("512KiB", "RAM", 524_288),
    ("80", "Memory (MB)", 80_000_000), ("94 %", "training accuracy", None), ("12", "accuracy gain", None),
])  # fmt: skip
def test_a_number_is_read_in_its_unit_or_its_headers(written, header, value):
    (claim,) = read_claims(f"| Nodes | {header} |\n|:-:|--:|\n| 4 | {written} |")
    assert (claim.quantity == "other", claim.column is None) == (value is None, value is None)
    if value is not None:
        assert claim.number.value == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(("written", "low", "high", "half"), [
    ("97.40 ± 0.27 (3)", 0.9713, 0.9767, 5e-5), ("97.4 +/- 0.3 %", 0.971, 0.977, 5e-4),
    ("97.5 (97.2 to 97.8)", 0.972, 0.978, 5e-4), ("97.5", None, None, 5e-4), ("0.975 ± 0.01", 0.965, 0.985, 5e-4),
])  # fmt: skip
def test_a_numbers_own_interval_and_last_digit_are_kept(written, low, high, half):
    (claim,) = read_claims(f"| Nodes | Accuracy |\n|---|---|\n| 4 | {written} |")
    assert claim.number.half_digit == pytest.approx(half)
    assert (claim.number.low, claim.number.high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize("written", ["–", "", "n/a", "not measurable here", "12 apples", "<1", "9" * 500, "٩٧٪", "-3"])
def test_what_is_no_number_claims_nothing(written):
    assert values(f"| Nodes | Accuracy |\n|---|---|\n| 4 | {written} |") == []


def test_columns_that_say_more_of_the_network_belong_to_the_subject():
    (claim,) = read_claims(
        "| Layers | Nodes | Activation | Epochs | Batch norm | Accuracy |\n|-|-|-|-|-|-|\n"
        "| 4 | 2,056 | tanh | 50 | yes | 97% |"
    )
    cell = claim.subject.cell(claim.subject.hidden_layer_sizes)
    assert cell.label == "4x2056 tanh, batch norm, 50 epochs"


def test_lines_of_label_and_value_are_read():
    text = """\
Accuracy of 4x64 tanh: 97.0 ± 0.3
- **4x64 relu:** 97.4 %, 63,370 parameters, 1.9 s
parameters (784-128-64-10): 109,386

Model: 2x32
Test accuracy: 96.5%
Training time: 2 min 10 s

Accuracy: 12 %
"""
    assert found(text) == [
        (1, "4x64 tanh", "accuracy", 0.97),
        (2, "4x64 relu", "accuracy", 0.974), (2, "4x64 relu", "parameters", 63_370), (2, "4x64 relu", "seconds", 1.9),
        (3, "784-128-64-10", "parameters", 109_386),
        (6, "2x32", "accuracy", 0.965), (7, "2x32", "seconds", 130),
    ]  # fmt: skip


def test_prose_and_other_tables_claim_nothing():
    text = """\
4 GB of memory: the course lab took 2.2 GB on two cores. 97.40 ± 0.27 (3) is the mean of three networks.
Note: a 4x64 network reached 97 % in 25 s, with 63,370 parameters. 12:30: 97 %. 2024-11-12: 97 %
1x64 relu: see below. CNN accuracy: 99 %
| Setting | Time | Accuracy |
|---|---|---|
| fast | 12 s | 97 % |
| `seed` | 3 | high |
Disk  Time
hdd   12 s
| Nodes | Meaning |
|---|---|
| 4 | 12 |
"""
    assert found(text) == []


def test_the_tables_we_print_are_read_whole(lab_results):
    text = results_text(lab_results, 10_000)
    measured = {"accuracy", "parameters", "seconds", "bytes"}
    subjects = {claim.subject.text for claim in read_claims(text)}
    assert subjects == set(lab_results.rows["label"])
    assert {claim.quantity for claim in read_claims(text)} == measured


planted = st.tuples(
    st.integers(1, 512), st.integers(1, 9999), st.integers(0, 10_000), st.integers(1, 10**9), st.integers(1, 10**6)
)


def plain(cells):
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def markdown(cells):
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return [lines[0], "|" + "---|" * len(cells[0]), *lines[1:]]


def bare(cells):
    lines = [" | ".join(row) for row in cells]
    return [lines[0], "--- | " * (len(cells[0]) - 1) + "---", *lines[1:]]


@given(st.lists(planted, min_size=1, max_size=8), st.sampled_from([plain, markdown, bare]), st.integers(0, 5))
def test_any_table_of_planted_numbers_reads_back_as_exactly_these(rows, render, before):
    cells = [["network", "accuracy %", "parameters", "time", "memory"]]
    truth = []
    for depth, width, basis_points, parameters, milliseconds in rows:
        label = f"{depth}x{width} relu"
        cells.append([label, f"{basis_points / 100:.2f} %", f"{parameters:,}", f"{milliseconds / 1000:.3f} s",
                      f"{milliseconds}kB"])  # fmt: skip
        truth.append([(label, "accuracy", basis_points / 10_000), (label, "parameters", parameters),
                      (label, "seconds", milliseconds / 1000), (label, "bytes", milliseconds * 1000)])  # fmt: skip
    lines = ["Words before."] * before + ["", *render(cells), "", "Words behind: 12 %."]
    claims = read_claims("\n".join(lines))
    assert [(c.subject.text, c.quantity, c.number.value) for c in claims] == [claim for row in truth for claim in row]
    first = len(lines) - 2 - len(rows)
    assert [claim.line for claim in claims] == [first + at + 1 for at in range(len(rows)) for _ in range(4)]


@given(st.text(alphabet="ab|:-+ \t\n.,%±()0123456789٣²½x–", max_size=400))
def test_no_document_raises(text):
    lines = text.count("\n") + 1
    assert all(1 <= claim.line <= lines for claim in read_claims(text))


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_cell_raises(subject, number):
    assume("\n" not in subject + number)
    assert len(read_claims(f"| Network | Accuracy |\n|---|---|\n| {subject} | {number} |")) <= 1


# Seconds of processor. A pattern that tries every way through a text takes minutes here, one that reads it once takes a
# second or less, on however busy a machine.
HANG = 20
HEADER = "| Nodes | Accuracy | Training Time (s) | Parameters |\n|---|---|---|---|\n"


@pytest.mark.skipif(sys.gettrace() is not None, reason="whoever counts lines takes seconds of his own")
@pytest.mark.parametrize("line", [
    "| 64 | 97.40 ± 0.27 (3) | 12.3 | 50,890 |", "4x64 relu: 97.4 %, 63,370 parameters, 1.9 s",
    "On that day: nothing was done about accuracy and memory, time 12 s", "aaa  bbb  ccc", "a  accuracy",
    "|a|b|\n|-|-|",
])  # fmt: skip
def test_ten_thousand_lines_do_not_hang(line):
    start = time.process_time()
    read_claims(HEADER + "\n".join([line] * 10_000))
    assert time.process_time() - start < HANG


@pytest.mark.parametrize("text", [
    "|" * 100_000 + "\n|-|", "4x64: " + "9" * 100_000, " " * 50_000 + "x" + " " * 50_000, "4-" * 50_000 + ": 5 s",
    "test " * 20_000 + ": 5 s", "(" * 50_000, "1e99 s: 1e99 s",
])  # fmt: skip
def test_one_endless_line_is_read_at_once(text):
    start = time.process_time()
    read_claims(HEADER + text)
    assert time.process_time() - start < HANG
