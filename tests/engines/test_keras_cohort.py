"""A member of a Keras cohort is what `Model.fit` makes of the same run; that `KerasEngine` is `fit` is tested there."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from mnistlab.dnn_model import create_dnn_model, create_optimizer
from mnistlab.engines.base import weights_sha256
from mnistlab.engines.keras_cohort import KerasCohorts, KerasShape
from mnistlab.engines.keras_engine import KerasEngine
from mnistlab.engines.programs import CELLS_OF_ONE_SEED, SEEDS_OF_ONE_CELL, Program
from mnistlab.spec import ACTIVATIONS, Architecture, Cell, Run, Split, Training

EIGHT, SHARED = Program("population", SEEDS_OF_ONE_CELL, 8), Program("population", CELLS_OF_ONE_SEED, 4)
REFERENCE = Program("reference")
FEW = [30, 34]  # cells of each sort that are trained by default


@pytest.fixture(scope="session")
def difference(layers_of):
    """The largest difference of training losses and of any array of two results, in units of its largest weight or 1.

    Not compared: a bias that feeds batch norm, which has no gradient but rounding that Adam makes steps of, and the
    average that is kept of what it is added to.
    """

    def difference(found, expected):
        assert found.status == expected.status == "done"
        assert (found.epochs_done, found.stopped_by, found.best_epoch) == (
            expected.epochs_done, expected.stopped_by, expected.best_epoch,
        )  # fmt: skip
        pairs = [(np.array(curve(found)), np.array(curve(expected)))]
        pairs += zip(comparable(found), comparable(expected), strict=True)
        return max(float(np.abs(a - b).max() / max(1, np.abs(b).max())) for a, b in pairs)

    def comparable(result):
        stages = [stage for stage in result.network if stage.kind in ("dense", "batch_norm")]
        for stage, following in zip(stages, [*stages[1:], None], strict=True):
            if stage.kind == "dense":
                yield stage.arrays[0]
                if following is None or following.kind == "dense":
                    yield stage.arrays[1]
            else:
                gamma, beta, _, variance = stage.arrays
                yield from (gamma, beta, variance)

    return difference


def curve(result):
    return [record.train_loss for record in result.epochs]


def steps_of(run, data):
    return -(-len(data.train) // run.cell.training.batch_size)


@pytest.fixture(scope="session")
def first_steps(prepare_run):
    """A run's data cut to what twenty steps take; a batch that would be short stays short."""

    def first_steps(run):
        data, size = prepare_run(run), run.cell.training.batch_size
        n_train = min(len(data.train), 20 * size)
        return dataclasses.replace(data, train=data.train[: n_train - (len(data.train) % size > 0) * (size // 3)])

    return first_steps


def runs_of_one_epoch(cell, draw_companion):
    """A run, and one of a cell that shares its program; both with the same length of an epoch."""
    other = draw_companion(cell, 1)
    training = dataclasses.replace(other.training, epochs=1, early_stopping_patience=None)
    return [Run(cell, 1), Run(dataclasses.replace(other, training=training, split=cell.split), 3)]


def check_twenty_steps(cell, trained, first_steps, difference, draw_companion):
    runs = runs_of_one_epoch(cell, draw_companion)
    found, expected = (trained(engine(), program, runs, first_steps)
                       for engine, program in ((KerasCohorts, EIGHT), (KerasEngine, REFERENCE)))  # fmt: skip
    worst = max(difference(found[run], expected[run]) for run in runs)
    print(cell.label, f"{worst:.1e}")  # noqa: T201 - for who asks by `-rP`
    assert worst <= 1e-4


@pytest.mark.parametrize("number", FEW)
def test_twenty_steps_are_those_of_fit(number, trained, first_steps, difference, draw_cell, draw_companion):
    check_twenty_steps(draw_cell(number, epochs=1), trained, first_steps, difference, draw_companion)


@pytest.mark.long
@pytest.mark.parametrize("number", range(40))
def test_twenty_steps_of_forty_cells_are_those_of_fit(
    number, trained, first_steps, difference, draw_cell, draw_companion
):
    check_twenty_steps(draw_cell(number, epochs=1), trained, first_steps, difference, draw_companion)


STRONG = {
    "label smoothing": Training(label_smoothing=0.1),
    "max norm": Training(max_norm=0.7, learning_rate=0.01),
    "warm-up": Training(schedule="cosine", warmup_epochs=1, epochs=2),
    "weight average": Training(ema_momentum=0.9, learning_rate=0.01),
    "deformation": Training(rotation=15, zoom=0.1, shear=0.2, translation=1, elastic_alpha=8, elastic_sigma=2),
}
ALL_OF_IT = Cell(
    Architecture((20, 12), "relu", dropout=0.3, input_dropout=0.2, gaussian_noise=0.1), dataset="digits",
    training=Training(label_smoothing=0.1, max_norm=1.5, schedule="cosine", warmup_epochs=2, epochs=7,
                      ema_momentum=0.95, rotation=10, elastic_alpha=10, l2=1e-4, learning_rate=0.003, batch_size=50),
)  # fmt: skip


@pytest.mark.ci
@pytest.mark.parametrize("part", STRONG)
def test_each_part_of_strong_training_takes_the_steps_of_fit(part, trained, first_steps, difference):
    noise = 0.2 if part == "max norm" else 0.0
    layers = Architecture((20, 12), dropout=0.3, input_dropout=0.2, gaussian_noise=noise)
    cell = Cell(layers, training=STRONG[part], dataset="digits")
    other = dataclasses.replace(cell, training=dataclasses.replace(cell.training, learning_rate=0.002))
    if cell.training.label_smoothing:  # each member has its own
        other = dataclasses.replace(other, training=dataclasses.replace(other.training, label_smoothing=0.3))
    runs = [Run(cell, 1), Run(other, 3)]
    found, expected = (trained(engine(), program, runs, first_steps)
                       for engine, program in ((KerasCohorts, EIGHT), (KerasEngine, REFERENCE)))  # fmt: skip
    assert max(difference(found[run], expected[run]) for run in runs) <= 1e-4


@pytest.mark.ci
@pytest.mark.parametrize("part", STRONG)
def test_each_part_of_strong_training_changes_the_network(part, trained, first_steps):
    plain = Training(
        epochs=STRONG[part].epochs, learning_rate=STRONG[part].learning_rate, schedule=STRONG[part].schedule
    )
    cells = [Cell(Architecture((20, 12)), training=training, dataset="digits") for training in (STRONG[part], plain)]
    results = trained(KerasCohorts(), EIGHT, [Run(cell, 1) for cell in cells], first_steps)
    assert len({result.weights_sha256 for result in results.values()}) == 2


@pytest.mark.ci
def test_strong_training_in_double_precision_is_that_of_fit(trained_elsewhere, difference):
    """Through seven epochs, each measured and ended with the average of the weights; stopped early, and not."""
    stopped = dataclasses.replace(ALL_OF_IT.training, ema_momentum=0.8, learning_rate=0.03, early_stopping_patience=1,
                                  schedule="constant", warmup_epochs=0, epochs=30)  # fmt: skip
    check_double_precision([ALL_OF_IT, dataclasses.replace(ALL_OF_IT, training=stopped)], trained_elsewhere, difference)


def test_no_weights_into_a_hidden_unit_are_longer_than_max_norm(trained, prepare_run):
    training = Training(max_norm=0.7, learning_rate=0.02, epochs=2)
    run = Run(Cell(Architecture((20, 12)), training=training, dataset="digits"), 1)
    dense = [stage for stage in trained(KerasCohorts(), EIGHT, [run])[run].network if stage.kind == "dense"]
    longest = [np.linalg.norm(stage.arrays[0], axis=0).max() for stage in dense]
    assert longest[:2] == [pytest.approx(0.7, abs=1e-4)] * 2
    assert longest[2] > 1


def check_double_precision(cells, trained_elsewhere, difference):
    """All cells in one process; those that differ are named."""
    runs = [[Run(cell, 1)] for cell in cells]
    jobs = [(name, program, few) for few in runs for name, program in (("population", EIGHT), ("reference", REFERENCE))]
    results = iter(trained_elsewhere(jobs, "float64"))
    worst = {}
    for found, expected in zip(results, results, strict=True):
        for run in found:
            assert found[run].network[-2].arrays[0].dtype == expected[run].network[-2].arrays[0].dtype == np.float64
            worst[run.cell.label, run.seed] = difference(found[run], expected[run])
            same = np.mean(found[run].test.predicted == expected[run].test.predicted)
            print(run.cell.label, f"{worst[run.cell.label, run.seed]:.1e}", f"{same:.4f}")  # noqa: T201
            assert same >= 0.999
    assert {label: value for label, value in worst.items() if value > 1e-9} == {}


def of_200_steps(cell, prepare_run):
    steps = steps_of(Run(cell, 1), prepare_run(Run(cell, 1)))
    return dataclasses.replace(cell, training=dataclasses.replace(cell.training, epochs=-(-200 // steps)))


@pytest.mark.ci
def test_200_steps_in_double_precision_are_those_of_fit(trained_elsewhere, prepare_run, difference, draw_cell):
    check_double_precision([of_200_steps(draw_cell(n), prepare_run) for n in FEW], trained_elsewhere, difference)


@pytest.mark.long
def test_200_steps_in_double_precision_of_forty_cells(trained_elsewhere, prepare_run, difference, draw_cell):
    cells = [of_200_steps(draw_cell(number), prepare_run) for number in range(40)]
    check_double_precision(cells, trained_elsewhere, difference)


@pytest.mark.parametrize(
    "patience",
    [
        pytest.param(1, marks=pytest.mark.slow),
        pytest.param(2, marks=pytest.mark.long),
        pytest.param(3, marks=pytest.mark.long),
    ],
)
def test_early_stopping_ends_in_the_epoch_where_fit_stops(patience, trained_elsewhere, difference):
    training = Training(epochs=60, batch_size=50, learning_rate=0.02, early_stopping_patience=patience)
    run = Run(Cell(Architecture((12,), "tanh"), training=training, dataset="digits"), 1)
    jobs = [("population", EIGHT, [run, Run(run.cell, 2)]), ("reference", REFERENCE, [run])]
    found, expected = (results[run] for results in trained_elsewhere(jobs, "float64"))
    assert found.stopped_by == "early_stopping"
    assert difference(found, expected) <= 1e-9


@pytest.mark.long
@pytest.mark.parametrize("patience", [1, 2, 3])
def test_2000_digits_trained_to_their_end_are_told_apart_alike(patience, trained_elsewhere):
    """Needs MNIST in the cache that `MNISTLAB_DATA_DIR` names."""
    training = Training(epochs=60, learning_rate=0.003, early_stopping_patience=patience)
    layers = [
        Architecture((32, 32)),
        Architecture((64,), "tanh", batch_norm=True),
        Architecture((24, 24), "gelu", dropout=0.2),
    ]
    runs = [Run(Cell(each, Split(train_fraction=1 / 30), training=training), 3) for each in layers]
    jobs = [(name, program, [run]) for run in runs
            for name, program in (("population", EIGHT), ("reference", REFERENCE))]  # fmt: skip
    results = iter(trained_elsewhere(jobs, "float64"))
    for run, found, expected in zip(runs, results, results, strict=True):
        found, expected = found[run], expected[run]
        assert (found.stopped_by, found.epochs_done) == ("early_stopping", expected.epochs_done)
        same = np.mean(found.test.predicted == expected.test.predicted)
        print(run.cell.label, found.epochs_done, same)  # noqa: T201
        assert same >= 0.999


# Keras' own count of cells of one seed: as narrow as these are, they share their batches.
@pytest.mark.parametrize(("width", "depth"), [
    pytest.param(width, depth, marks=() if (width, depth) in ((1, 1), (8, 3)) else pytest.mark.long)
    for width in range(1, 9) for depth in range(1, 6)
])  # fmt: skip
def test_cells_of_one_seed_keep_their_bits_and_take_the_steps_of_fit(
    width, depth, trained, first_steps, bits_of, difference
):
    activations = [ACTIVATIONS[(width + place) % len(ACTIVATIONS)] for place in range(depth)]
    layers = Architecture((width,) * depth, activations)
    rates = (0.001, 0.002, 0.0005, 0.003, 0.0007)
    runs = [Run(Cell(layers, training=Training(learning_rate=rate, epochs=1 + (rate == 0.003)), dataset="digits"), 4)
            for rate in rates]  # fmt: skip
    watched, *others = runs
    companies = [
        [watched],
        [watched, *others[:3]],
        [*others[:3], watched],
        [others[3], watched, others[0]],
        [*others, watched],
    ]
    engine, found = KerasCohorts(), {}
    for company in companies:
        for run, result in trained(engine, SHARED, company, first_steps).items():
            found.setdefault(run, set()).add(bits_of(result))
    assert {len(bits) for bits in found.values()} == {1}
    expected = trained(KerasEngine(), REFERENCE, [watched], first_steps)[watched]
    assert difference(trained(engine, SHARED, [watched], first_steps)[watched], expected) <= 1e-4


@pytest.mark.parametrize(("schedule", "warmup"), [("constant", 0), ("cosine", 0), ("cosine", 7), ("step", 0)])
def test_step_sizes_are_those_of_keras_own_optimizer_wherever_one_begins(schedule, warmup, prepare_run):
    training = Training(schedule=schedule, epochs=60, learning_rate=0.0123, warmup_epochs=warmup)
    run = Run(Cell(Architecture((4,)), dataset="digits", training=training), 0)
    data = prepare_run(run)
    n_steps = 60 * math.ceil(len(data.train) / training.batch_size)
    optimizer, member = create_optimizer(training, n_steps // 60), KerasShape(run.cell, data).begin(run, data)
    found = member.rates(0, n_steps)
    for step in range(0, n_steps, 37):
        optimizer.iterations.assign(step)
        assert found[step] == pytest.approx(float(optimizer.learning_rate), rel=0, abs=2e-9)  # of 0.0123 two roundings
        np.testing.assert_array_equal(member.rates(step, n_steps - step), found[step:])


def test_a_member_begins_where_the_model_of_its_seed_begins(prepare_run):
    cell = Cell(Architecture((7, 5), "tanh", batch_norm=True, dropout=0.3), dataset="digits")
    run = Run(cell, 11)
    shape, data = KerasShape(cell, prepare_run(run)), prepare_run(run)
    found = shape.weights(shape.begin(run, data).state)
    model = create_dnn_model((64,), cell.architecture, seed=11)
    expected = [np.asarray(variable.value) for variable in model.weights]
    assert weights_sha256(found) == weights_sha256(expected)
    assert {array.shape for array in found} == {array.shape for array in expected}


@pytest.mark.long
def test_both_engines_accuracies_are_equivalent_within_a_fifth_of_a_point(trained_elsewhere):
    """Two one-sided tests on 30 pairs. Needs MNIST in the cache that `MNISTLAB_DATA_DIR` names."""
    training, part = Training(epochs=3, batch_size=32), Split(train_fraction=0.2)
    layers = [Architecture((4,) * 4), Architecture((32,) * 4), Architecture((64,), "sigmoid"),
              Architecture((32, 32), "tanh", batch_norm=True, dropout=0.2)]  # fmt: skip
    cells = [Cell(each, part, training=training) for each in layers]
    seeds = range(1_000, 1_030)
    jobs = [(name, program, [Run(cell, seed) for seed in seeds]) for cell in cells
            for name, program in (("population", EIGHT), ("reference", REFERENCE))]  # fmt: skip
    results = iter(trained_elsewhere(jobs))
    for cell, found, expected in zip(cells, results, results, strict=True):
        lead = [found[run].test.accuracy - expected[run].test.accuracy for run in found]
        below = ttest_1samp(lead, -0.002, alternative="greater").pvalue
        above = ttest_1samp(lead, 0.002, alternative="less").pvalue
        print(cell.label, f"{np.mean(lead):.5f} ± {np.std(lead, ddof=1):.5f}; p {below:.2g}, {above:.2g}")  # noqa: T201
        assert max(below, above) < 0.05
