# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which differences are real, and what do they cost?
#
# The first notebook, `exploration`, ends where means with intervals lie side by side. Here they are compared:
# verdicts, what several seeds can and cannot show, which knob matters, what accuracy costs, what more training digits
# buy, and which digits hang on luck. In between you train a small study of your own.
#
# Everything but that comes from `docs/lab.sqlite`. Exercises are marked **Exercise**; solutions stand below them.

# %%
import itertools
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display

import mnistlab
from mnistlab.places import Places

# Works from the folder of the project and from `notebooks/`. For your own networks name your own store here.
ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "docs" / "lab.sqlite").exists())
STORE = ROOT / "docs" / "lab.sqlite"
os.environ["MNISTLAB_HOME"], os.environ["MNISTLAB_STORE"] = str(ROOT), str(STORE)

results = mnistlab.results("lab")
table = results.rows.set_index("label")
print(f"{len(table)} cells, {table['seeds'].sum()} networks; resolution {100 * results.resolution:.2f} points")

# %% [markdown]
# ## 1. Four words
#
# Two cells are compared over their common seeds, digit by digit. The answer is one of four words:
#
# - **better**, **worse**: the difference is there for new seeds and new digits.
# - **equivalent**: whatever difference there is, it is smaller than a margin you name, by default 0.2 points.
# - **undecided**: neither is shown. It does *not* mean "equal". Beside it stands how many more seeds would probably
#   tell.

# %%
for pair in (
    ("1x4 relu", "1x64 relu"),
    ("1x512 relu", "1x64 relu"),
    ("4x64 relu", "1x64 relu"),
    ("1x2056 relu", "1x512 relu"),
):
    display(mnistlab.compare(*pair, study="lab"))

# %% [markdown]
# `verdicts` asks it of every two cells that differ in one knob alone. Who asks a hundred questions finds five
# "differences" among equals, so the p values of a knob are adjusted for their number (Holm).

# %%
verdicts = mnistlab.verdicts("lab")
pd.crosstab(verdicts.rows["knob"], verdicts.rows["verdict"])

# %% [markdown]
# And `findings` says the ones a choice hangs on, the weightiest first, each with the networks it rests on.

# %%
for sentence in mnistlab.findings("lab")["sentence"].head(8):
    print("-", sentence)

# %% [markdown]
# **Exercise 1.** Without the adjustment, a pair counts as different when its own p is below 0.05. How many verdicts
# "better" or "worse" does the adjustment take back? (Columns of `verdicts.rows`: `p`, `p_holm`, `verdict`.)

# %% tags=["exercise"]
# taken_back = ...

# %% tags=["solution"]
told_apart = verdicts.rows["verdict"].isin(["better", "worse"])
taken_back = (verdicts.rows["p"] < 0.05) & ~told_apart
print(f"{taken_back.sum()} of {len(verdicts.rows)} pairs; {told_apart.sum()} stay told apart")
assert taken_back.sum() > 0
assert (verdicts.rows.loc[told_apart, "p_holm"] < 0.05).all()

# %% [markdown]
# ## 2. Why seeds alone are not enough
#
# All networks are tested on the *same* digits. These digits were drawn once, as the seeds were, and an accuracy on
# them is off by a little that no further seed takes away. How much do seeds vary, and how much do digits? The store
# keeps every network's answer to every test digit.

# %%
store = mnistlab.open_store(STORE)
runs = store.runs("lab").merge(results.rows[["cell", "label"]], on="cell")
digits = store.part_labels(runs["test_labels"].iloc[0])
predicted = store.predicted(digits.id, "lab")  # a row per network, a column per test digit


def networks(label):
    """Whether each network of a cell (rows) reads each test digit (columns) right, as 1 and 0."""
    right = predicted.loc[runs.loc[runs["label"] == label, "run"]].to_numpy() == digits.labels
    return right.astype(float)


def variances(table):
    """Of a table of networks by digits: the variance that a seed brings, and that of this set of digits."""
    n_seeds, n_digits = table.shape
    by_seed, by_digit = table.mean(axis=1), table.mean(axis=0)
    rest = table - by_digit - by_seed[:, None] + table.mean()
    noise = (rest**2).sum() / (n_seeds - 1) / (n_digits - 1)
    return by_seed.var(ddof=1), max(by_digit.var(ddof=1) - noise / n_seeds, 0) / n_digits


good = [label for label, accuracy in table["accuracy"].items() if accuracy.value > 0.95]
names = verdicts.cells["label"]
pairs = [(a, b) for a, b in zip(names[verdicts.rows["a"]], names[verdicts.rows["b"]], strict=True) if {a, b} <= {*good}]
parts = pd.DataFrame(
    {
        "of an accuracy": np.mean([variances(networks(label)) for label in good], axis=0),
        "of a difference": np.mean([variances(networks(a) - networks(b)) for a, b in pairs], axis=0),
    },
    index=["one seed", "these digits"],
)
print(f"standard deviations in points, averaged over {len(good)} cells and {len(pairs)} pairs of them")
(100 * np.sqrt(parts)).round(2)

# %% [markdown]
# Now a world in which we know the truth and things vary as much as that. We hold thousands of studies there and give
# each the usual interval: mean ± t · standard error, over the seeds. It promises to hold the truth in 95 % of them.

# %%
T = {3: 4.303, 5: 2.776, 10: 2.262, 20: 2.093}  # 97.5 % points of Student's t with n - 1 degrees of freedom
random = np.random.default_rng(0)


def held(one_seed, these_digits, n_seeds, studies=4_000):
    """Share of studies whose interval over the seeds holds the truth, which is 0; the arguments are variances."""
    luck = np.sqrt(these_digits) * random.standard_normal((studies, 1))  # the same for all seeds of a study
    seen = luck + np.sqrt(one_seed) * random.standard_normal((studies, n_seeds))
    half = T[n_seeds] * seen.std(axis=1, ddof=1) / np.sqrt(n_seeds)
    return np.mean(np.abs(seen.mean(axis=1)) <= half)


kept = pd.DataFrame({name: {n: held(*parts[name], n) for n in T} for name in parts}).rename_axis("seeds")
(100 * kept).round(0).add_suffix(", held %")

# %% [markdown]
# More seeds make it *worse*: the interval shrinks around an accuracy that only these digits have. A difference of two
# cells suffers less, because both read the same digits and most of their luck cancels; that is why cells are compared
# in pairs. It still suffers, the more the surer one wants to be.
#
# So intervals here let both vary, seeds and digits. Beside each stands its twin that knows seeds alone. With few
# seeds the twin may even be the wider one: it knows little of how much seeds vary. With many it shrinks to nothing.

# %%
shown = table.loc[["1x64 relu", "2x256 relu", "1x512 relu"], ["accuracy", "accuracy_these_digits"]]
shown.map(lambda one: f"{100 * one.value:.2f} ± {50 * (one.high - one.low):.2f}")

# %% [markdown]
# **Exercise 2.** Which share would be held if the digits did not matter? And with a test set of 1,000 digits instead
# of 10,000, taking all else as it is? Predict both, then run `held` with ten seeds. (The variance that digits add
# falls with their number.)

# %% tags=["exercise"]
# held(...), held(...)

# %% tags=["solution"]
one_seed, these_digits = parts["of an accuracy"]
without, fewer = held(one_seed, 0.0, 10), held(one_seed, 10 * these_digits, 10)
print(f"without luck of the digits {without:.0%}, with a tenth of the digits {fewer:.0%}")
assert abs(without - 0.95) < 0.02
assert fewer < kept.loc[10, "of an accuracy"]

# %% [markdown]
# ## 3. The margin
#
# "Equivalent" needs a margin: the difference you would not care about. A wider margin decides more and says less. It
# is yours to choose, *before* you look.

# %%
margins = (0.002, 0.005, 0.01, 0.02)
counts = {
    f"{100 * margin:g} points": mnistlab.verdicts("lab", margin=margin).rows["verdict"].value_counts()
    for margin in margins
}
pd.DataFrame(counts).fillna(0).astype(int)

# %% [markdown]
# **Exercise 3.** A verdict "equivalent" at a margin stays so at any wider one. "Better" and "worse" do not depend on
# the margin at all. Check both for the four margins above.

# %% tags=["exercise"]
# ...

# %% tags=["solution"]
words = pd.DataFrame({margin: mnistlab.verdicts("lab", margin=margin).rows["verdict"] for margin in margins})
for narrow, wide in itertools.pairwise(margins):
    assert (words.loc[words[narrow] == "equivalent", wide] == "equivalent").all()
    for word in ("better", "worse"):
        assert (words[narrow] == word).equals(words[wide] == word)
print("both hold")

# %% [markdown]
# ## 4. A study of your own
#
# A study is a mapping: lists are factors, and factors are crossed. Here two widths × two activations on `digits`,
# three seeds each. `plan` says what it costs before anything runs; ids follow from the content, so nothing is ever
# trained twice.

# %%
CONFIG = {
    "name": "mine",
    "dataset": "digits",
    "frameworks": "sklearn",
    "model": {"node_counts": [8, 32], "layer_depths": 1, "activations": ["relu", "sigmoid"]},
    "training": {"epochs": 20},
    "seeds": 3,
}
study = mnistlab.load_config(CONFIG)
study

# %% [markdown]
# `CONFIG` in `config.py` is such a mapping, too: edit it, and look at its price before you run it.

# %%
price = mnistlab.plan(ROOT / "config.py")
hours = price.seconds.value / 3600
print(f"{len(price.cells)} cells, {price.networks:,} networks, about {hours:.1f} hours on this machine")

# %% [markdown]
# The results go into a file of their own, in a folder that is deleted at the end. A script would need `if __name__ ==
# "__main__":` above `run`, because it starts fresh Python processes; a notebook does not.

# %%
folder = tempfile.TemporaryDirectory()
mine = Places.find(home=folder.name, store=Path(folder.name) / "mine.sqlite")
display(mnistlab.plan(study, places=mine))
summary = mnistlab.run(study, places=mine)
print(f"{summary.done} of {summary.done + summary.to_do} networks done")
assert summary.exit_status == 0

# %%
display(mnistlab.figure("width", "mine", places=mine))
display(mnistlab.verdicts("mine", places=mine))

# %% [markdown]
# ## 5. Which knob makes the difference?
#
# `sensitivity` shares out the variance of the accuracies: so much for each knob, so much for two knobs *together*
# (their interaction: what one does depends on the other), and the rest for the seed. That rest is the noise floor:
# what is not above it, is luck. Your study is a full factorial, so its shares are exact.

# %%
mnistlab.sensitivity("mine", places=mine)

# %% [markdown]
# The lab is no full factorial: most of its cells change one knob alone. Its shares come from an additive model, which
# sees no interactions; where knobs go together they may add up to more than the whole.

# %%
mnistlab.sensitivity("lab")

# %% [markdown]
# **Exercise 4.** An interaction can be seen with bare eyes. By how many points is relu better than sigmoid with 8
# nodes, and with 32? Without an interaction the two would be equal.

# %% tags=["exercise"]
# lead = ...

# %% tags=["solution"]
own = mnistlab.results("mine", places=mine).rows
own = own.assign(width=own["hidden_layer_sizes"].str[0], activation=own["activations"].str[0])
means = own.assign(value=[one.value for one in own["accuracy"]]).pivot(
    index="width", columns="activation", values="value"
)
lead = 100 * (means["relu"] - means["sigmoid"])
assert lead[8] > lead[32]
lead.round(1).rename("relu leads by, points").to_frame()

# %%
folder.cleanup()

# %% [markdown]
# ## 6. What accuracy costs
#
# A cell is worth looking at when no other one is at least as accurate *and* at least as cheap. These cells form the
# Pareto set. Validation accuracy chooses who is in it, test accuracy then proves: the best of many test accuracies
# flatters itself.


# %%
def value(column):
    """The bare values of a column of estimates."""
    return np.array([one.value for one in table[column]], dtype=float)


# Of each network by itself: those that were trained side by side shared their time.
seconds = value("seconds_per_step") * table["steps_per_epoch"] * value("epochs_done")
costs = pd.DataFrame({"parameters": table["parameters"], "seconds": seconds}, index=table.index)
costs["validation"] = value("validation_accuracy")
costs["test"] = value("accuracy")


def pareto(cost):
    """Cells that no other one beats: from the cheapest up, each more accurate than all before it."""
    ordered = costs.sort_values([cost, "validation"], ascending=[True, False])
    return ordered[ordered["validation"] > ordered["validation"].cummax().shift(fill_value=0)]


off = costs["validation"] < 0.2
best = 100 * costs["validation"].max()
fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
for ax, cost, words in zip(axes, ("parameters", "seconds"), ("parameters", "training, s"), strict=True):
    ax.axhspan(best - 100 * results.resolution, best, color="0.9", label="resolution")
    ax.scatter(
        costs[cost],
        100 * costs["validation"],
        s=14,
        color="0.6",
        label=f"{len(costs)} cells, {off.sum()} of them collapsed",
    )
    ax.plot(pareto(cost)[cost], 100 * pareto(cost)["validation"], "o-", color="#D55E00", label="Pareto set")
    ax.set(xscale="log", xlabel=words)
axes[0].set(ylabel="validation accuracy, %", ylim=(100 * costs.loc[~off, "validation"].min() - 1, best + 1))
axes[0].legend()
plt.show()

# %% [markdown]
# **Exercise 5.** You may spend at most 60,000 parameters. Which cell do you take, and is it really better on new
# digits than the plain one, `1x64 relu`?

# %% tags=["exercise"]
# choice = ...

# %% tags=["solution"]
choice = costs[costs["parameters"] <= 60_000]["validation"].idxmax()
assert choice in pareto("parameters").index
mnistlab.compare(choice, "1x64 relu", study="lab")

# %% [markdown]
# ## 7. What more training digits buy
#
# The lab trained one network on growing parts of the training digits. On logarithmic axes the error falls nearly on a
# straight line: a power law. Its slope says what doubling the data buys.

# %%
labels = [label for label in table.index if label == "4x64 relu" or label.startswith("4x64 relu, train ")]
fractions = table.loc[labels].sort_values("n_train")
errors = 1 - np.array([one.value for one in fractions["accuracy"]])
slope, level = np.polyfit(np.log(fractions["n_train"]), np.log(errors), 1)

fig, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
ax.loglog(fractions["n_train"], 100 * errors, "o", label=f"mean of {fractions['seeds'].max()} networks each")
ax.loglog(fractions["n_train"], 100 * np.exp(level) * fractions["n_train"] ** slope, "--", label=f"slope {slope:.2f}")
ax.minorticks_off()
ax.set_xticks(fractions["n_train"], [f"{n:,}" for n in fractions["n_train"]], rotation=30)
ax.set_yticks(100 * errors, [f"{100 * error:.1f}" for error in errors])
ax.set(xlabel="training digits", ylabel="test error, %")
ax.legend()
plt.show()
print(f"twice the digits leave {2**slope:.0%} of the error")

# %% [markdown]
# Test digits buy something else: not accuracy, but how precisely it is known. The two prices must not be mixed up,
# and a split has to pay both. Hence the official 10,000 test digits for every fraction.
#
# **Exercise 6.** Let the law predict the last point: fit it without the full training set, and predict the error
# there. By how many points is it wrong? What might be why?

# %% tags=["exercise"]
# prediction = ...

# %% tags=["solution"]
part, most = fractions["n_train"].to_numpy()[:-1], fractions["n_train"].iloc[-1]
prediction = np.exp(np.polyval(np.polyfit(np.log(part), np.log(errors[:-1]), 1), np.log(most)))
print(f"predicted {prediction:.2%}, measured {errors[-1]:.2%}")
print("nothing promises that a line stays straight outside of what was measured")
assert abs(prediction - errors[-1]) < 0.01

# %% [markdown]
# ## 8. Digits that hang on luck
#
# Behind an accuracy stand single digits. Most are read right by every seed, a few by none. In between are those that
# *flip*: the seed decides.

# %%
read_by = networks("4x64 relu").sum(axis=0).astype(int)
counts = pd.Series(read_by).value_counts().sort_index()
counts.rename("test digits").rename_axis("networks of 4x64 relu that read them right").to_frame()

# %% [markdown]
# **Exercise 7.** The accuracies of these networks are nearly alike, and yet the networks err on different digits. On
# how many digits do the first two disagree, and by how many do their totals differ?

# %% tags=["exercise"]
# disagree = ...

# %% tags=["solution"]
first, second, *_ = networks("4x64 relu")
disagree, apart = (first != second).sum(), abs(first.sum() - second.sum())
print(f"they disagree on {disagree} digits; their totals differ by {apart:.0f}")
assert disagree > apart

# %% [markdown]
# Which digits does hardly anybody read? All networks of the lab together, but for the collapsed ones; with pictures
# where MNIST has been fetched.

# %%
trained = runs.loc[(runs["status"] == "done") & (runs["test_accuracy"] > 0.2), "run"]
wrong = (predicted.loc[trained].to_numpy() != digits.labels).mean(axis=0)
hardest = np.argsort(-wrong, kind="stable")[:10]
display(
    pd.DataFrame(
        {
            "place in the data set": digits.indices[hardest],
            "label": digits.labels[hardest],
            "read wrongly by, %": (100 * wrong[hardest]).round(0),
        }
    )
)

if (ROOT / "data" / "raw" / "mnist").is_dir():
    images = mnistlab.data_show("mnist").images[digits.indices[hardest]]
    fig, axes = plt.subplots(1, len(hardest), figsize=(9, 1.4), layout="constrained")
    for ax, image, label in zip(axes, images, digits.labels[hardest], strict=True):
        ax.imshow(image, cmap="gray_r")
        ax.set_title(f"label {label}", fontsize="small")
        ax.axis("off")
    plt.show()
else:
    print("MNIST is not in data/raw. `mnistlab data fetch` brings it; then their pictures stand here.")

# %% [markdown]
# ## 9. Everything at once
#
# The report shows exhibits: question, drawing, caption, table. Here are all of them for the lab. One alone:
# `mnistlab.figure("depth", "lab")`; its data: `.table`. Those that find nothing to show in this store say what they
# would need.

# %%
for shown in mnistlab.exhibits("lab"):
    display(shown)
