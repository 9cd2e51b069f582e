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
# # The first hour
#
# You want to know how width, depth and activation change what a network reads right. This notebook goes from the
# pictures to the first honest comparison: the data, a network, one trained network, several, and the tables and
# figures they make.
#
# Nothing has to be trained or downloaded first. `docs/lab.sqlite` holds a small course lab: every **cell** (all about
# a network but the seed) was trained as three **runs** (a cell with a seed). The second notebook, `analysis`, decides
# what the first one leaves open.
#
# Exercises are marked **Exercise**; try each before you run the solution below it. Numbers stand in outputs, not in
# the text, so they are always those of the store you look at.

# %%
import itertools
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display

import mnistlab

# Works from the folder of the project and from `notebooks/`. For your own networks name your own store here.
ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "docs" / "lab.sqlite").exists())
STORE = ROOT / "docs" / "lab.sqlite"
os.environ["MNISTLAB_HOME"], os.environ["MNISTLAB_STORE"] = str(ROOT), str(STORE)

pd.DataFrame(mnistlab.status())[["study", "done", "failed", "planned"]]

# %% [markdown]
# ## 1. The pictures
#
# A **data set** is pictures and labels. `digits` comes with scikit-learn and needs no network: handwritten digits of
# 8×8 pixels.

# %%
digits = mnistlab.data_show("digits")
print(f"{len(digits.images):,} pictures of {digits.info.image_shape} pixels, {digits.info.n_classes} classes")
pd.DataFrame({"pictures": digits.class_counts}, index=pd.Index(digits.info.class_names, name="class")).T


# %%
def draw_samples(dataset, title):
    """Five pictures of every class, one class a column."""
    fig, axes = plt.subplots(5, dataset.info.n_classes, figsize=(6.4, 3.4), layout="constrained")
    for label, column in enumerate(axes.T):
        for ax, image in zip(column, dataset.images[dataset.labels == label], strict=False):
            ax.imshow(image, cmap="gray_r")
            ax.axis("off")
        column[0].set_title(dataset.info.class_names[label])
    fig.suptitle(title)
    plt.show()


draw_samples(digits, "digits, 8×8 pixels")

# %% [markdown]
# MNIST has larger pictures, and many more of them. It is shown where it has been fetched already.

# %%
if (ROOT / "data" / "raw" / "mnist").is_dir():
    draw_samples(mnistlab.data_show("mnist"), "MNIST, 28×28 pixels")
else:
    print("MNIST is not in data/raw. `mnistlab data fetch` brings it; nothing below needs it.")

# %% [markdown]
# **Exercise 1.** A network that has learnt nothing may say the most frequent class to every picture. What accuracy
# does it reach on `digits`?

# %% tags=["exercise"]
# baseline = ...

# %% tags=["solution"]
baseline = digits.class_counts.max() / len(digits.labels)
print(f"{baseline:.1%}: what is not clearly above it has learnt nothing")
assert baseline > 1 / digits.info.n_classes

# %% [markdown]
# ## 2. The split
#
# A **split** says which pictures *train* (the network learns from them), which *validate* (they choose: when to stop,
# which cell is best) and which *test* (they measure, once, and choose nothing). The seed draws the validation part;
# the test part is always the same.

# %%
from mnistlab.preprocessing import prepare

study = mnistlab.load_config(
    {"dataset": "digits", "frameworks": "sklearn", "model": {"node_counts": 16, "layer_depths": 1}}
)
[cell] = study.cells
parts = {seed: prepare(digits, cell.split, cell.features, seed) for seed in (0, 1)}
data = parts[0]
print(f"{len(data.train):,} train, {len(data.validation.indices):,} validate, {len(data.test.indices):,} test")
print("the same test pictures for both seeds:", np.array_equal(parts[0].test.indices, parts[1].test.indices))
print("the same training pictures for both seeds:", np.array_equal(parts[0].train, parts[1].train))

# %% [markdown]
# **Exercise 2.** No picture may be in two parts: a network would be asked what it has been told. Prove that the three
# parts of seed 0 share none, and that together they are the whole data set.

# %% tags=["exercise"]
# every = np.concatenate([...])

# %% tags=["solution"]
every = np.concatenate([data.train, data.validation.indices, data.test.indices])
assert len(every) == len(set(every.tolist())) == len(digits.images)
print("no picture twice, and none left out")

# %% [markdown]
# ## 3. A network and its parameters
#
# One hidden layer of *n* nodes between 784 pixels and 10 classes has 784 *n* weights and *n* biases in, 10 *n*
# weights and 10 biases out: **795 *n* + 10** parameters. Keras counts the same. Beside it stands what the table this
# lab began with printed; the last column asks which *n* would have that many.

# %%
from mnistlab.dnn_model import create_dnn_model

PRINTED = {4: 3_214, 32: 25_962, 64: 51_914, 128: 103_818, 512: 415_242, 2056: 1_661_962}

rows = []
for n, printed in PRINTED.items():
    network = create_dnn_model((784,), {"nodes": [n], "activations": ["relu"]})
    rows.append({"nodes": n, "795 n + 10": 795 * n + 10, "Keras counts": network.count_params(), "printed": printed,
                 "n for what is printed": round((printed - 10) / 795, 2)})  # fmt: skip
pd.DataFrame(rows).set_index("nodes")

# %% [markdown]
# Not one printed count belongs to a network of one hidden layer: those numbers were never measured. Every table of
# ours can be checked like this; `mnistlab verify FILE` does it for a whole document.
#
# **Exercise 3.** How many parameters has `4x64 relu`, four hidden layers of 64? Compute it by hand, then compare with
# Keras and with the store.

# %% tags=["exercise"]
# by_hand = ...

# %% tags=["solution"]
by_hand = (784 * 64 + 64) + 3 * (64 * 64 + 64) + (64 * 10 + 10)
by_keras = create_dnn_model((784,), {"nodes": [64] * 4, "activations": ["relu"] * 4}).count_params()
by_store = mnistlab.results("lab").rows.set_index("label").loc["4x64 relu", "parameters"]
assert by_hand == by_keras == by_store
print(f"{by_hand:,}")

# %% [markdown]
# ## 4. One trained network is one draw
#
# Training begins with random weights and takes the pictures in random order. Here the same network is trained with
# ten seeds. Nothing else changes.

# %%
from mnistlab.ffn_model import create_ffn_model


def trained(seed):
    """A network of one hidden layer of 16, trained on `digits`, and how many test pictures it reads right."""
    model = create_ffn_model(input_dim=64, hidden_layers=1, nodes_per_layer=16)
    model.set_params(random_state=seed, tol=1e-3).fit(data.X_train, data.y_train)
    return int((model.predict(data.X_test) == data.test.labels).sum())


n_test = len(data.test.labels)
right = np.array([trained(seed) for seed in range(10)])
print("right of", n_test, "by seed:", *right)

# %% [markdown]
# How sure is one of these numbers? Of *n* test pictures *k* are right. Wilson's interval says which accuracies on
# *new* pictures go well with that. It knows this one network, and nothing of other seeds.


# %%
def wilson(k, n, z=1.96):
    """95 % interval of an accuracy of which k of n test pictures are known."""
    share, extra = k / n, z**2 / n
    middle = (share + extra / 2) / (1 + extra)
    half = z * np.sqrt(share * (1 - share) / n + extra / (4 * n)) / (1 + extra)
    return middle - half, middle + half


low, high = wilson(right, n_test)
fig, ax = plt.subplots(figsize=(6.4, 3), layout="constrained")
places = np.arange(len(right))
accuracy = right / n_test
ax.errorbar(places, 100 * accuracy, yerr=100 * np.array([accuracy - low, high - accuracy]), fmt="o", capsize=3)
ax.axhline(100 * accuracy.mean(), color="0.5", linestyle="--", label=f"mean of {len(right)} networks")
ax.set(xlabel="seed", ylabel="test accuracy, %", xticks=places)
ax.legend()
plt.show()
print(f"lowest {accuracy.min():.1%}, highest {accuracy.max():.1%}")
print(f"an interval of one of them is {np.mean(high - low) * 100:.1f} points wide")

# %% [markdown]
# **Exercise 4.** MNIST tests on 10,000 digits. How many times narrower is the interval of one network with the same
# accuracy there? Guess first: the width falls with the square root of the number of pictures.

# %% tags=["exercise"]
# narrower = ...

# %% tags=["solution"]
widths = [np.diff(wilson(accuracy.mean() * n, n))[0] for n in (n_test, 10_000)]
narrower = widths[0] / widths[1]
print(f"{narrower:.1f} times; the square root says {np.sqrt(10_000 / n_test):.1f}")
assert abs(narrower / np.sqrt(10_000 / n_test) - 1) < 0.1

# %% [markdown]
# ## 5. The table of the lab
#
# Back to MNIST: real networks from the store. `97.40 ± 0.27 (3)` would be the mean of three networks, in per cent,
# with its 95 % interval for *new seeds and new digits*. Both are drawn by chance, so both are in the interval. The
# **resolution** above the table is the smallest difference between two cells that such a study usually finds.

# %%
results = mnistlab.results("lab")
results

# %% [markdown]
# - `trained`: how many networks learnt anything (see 8).
# - `training s`, `alone, ms a step`: what it cost, with others at a time and by itself.
# - `on these digits %`: an interval for new seeds on the *same* test digits. It says nothing of other digits.
# - `validation %`: what may choose. The best test accuracy of many cells flatters itself.
#
# The same table is a DataFrame, `results.rows`; an accuracy in it is an `Estimate` with `value`, `low`, `high` and
# `n`.

# %%
table = results.rows.set_index("label")
estimate = table.loc["4x64 relu", "accuracy"]
print(estimate.value, estimate.low, estimate.high, estimate.n)
estimate

# %% [markdown]
# **Exercise 5.** Which cell do the validation digits choose? In how many other cells does the test interval overlap
# its own?

# %% tags=["exercise"]
# chosen = ...

# %% tags=["solution"]
chosen = max(table.index, key=lambda label: table.loc[label, "validation_accuracy"].value)
best = table.loc[chosen, "accuracy"]
others = table["accuracy"].drop(chosen)
overlapping = [label for label, other in others.items() if other.high >= best.low and other.low <= best.high]
print(f"{chosen}; {len(overlapping)} of {len(others)} others overlap it")
assert 0 < len(overlapping) < len(others)

# %% [markdown]
# ## 6. Width and depth
#
# `mnistlab.figure` gives an exhibit: a question, a drawing, its caption and its table. The grey band is the
# resolution, drawn below the best cell: what ends inside it may well be as good.

# %%
mnistlab.figure("width", "lab")

# %% [markdown]
# The drawing of depths under its original name. It takes a table, so you can draw any part of one.

# %%
from mnistlab.visualization import plot_depth_performance

depths = mnistlab.figure("depth", "lab").table
display(plot_depth_performance(depths[(depths["activation"] == "relu") & (depths["framework"] == "keras")]))

# %% [markdown]
# ## 7. "Deeper is better", one run each
#
# The table this lab began with had one run of each depth and found the deepest best. Let us do it that way: take
# *one* of the three networks of every depth, and see which depth wins. There are many ways to take them.

# %%
runs = mnistlab.open_store(STORE).runs("lab").merge(results.rows[["cell", "label"]], on="cell")
by_label = runs.set_index(["label", "seed"])["test_accuracy"].unstack("seed")
labels = [f"{depth}x64 relu" for depth in (4, 5, 6, 8, 16)]
display((100 * by_label.loc[labels]).round(2))


def winners(labels):
    """How often each cell wins when one network of each is drawn, over all ways to draw them."""
    draws = itertools.product(*(by_label.loc[label] for label in labels))
    won = pd.Series([labels[int(np.argmax(draw))] for draw in draws]).value_counts(normalize=True)
    return won.reindex(labels, fill_value=0.0)


(100 * winners(labels)).round(1).rename("wins in % of the draws").to_frame()

# %% [markdown]
# Two students who train one network of each depth may print different winners, and both believe theirs. Several seeds
# and an interval say what is known, and what is not:

# %%
for label in labels[1:]:
    display(mnistlab.compare(label, "4x64 relu", study="lab"))

# %% [markdown]
# **Exercise 6.** The same for width: in what share of the draws does one network of `1x2056 relu` beat one of `1x512
# relu`? What does `compare` say?

# %% tags=["exercise"]
# winners([...])

# %% tags=["solution"]
share = winners(["1x512 relu", "1x2056 relu"])["1x2056 relu"]
print(f"the wider one wins in {share:.0%} of the draws")
assert 0 < share < 1
mnistlab.compare("1x2056 relu", "1x512 relu", study="lab")

# %% [markdown]
# ## 8. Learning curves, and a network that collapsed
#
# The store keeps every epoch of every run.

# %%
epochs = mnistlab.open_store(STORE).epochs("lab").merge(runs[["run", "label", "seed"]], on="run")


def draw_losses(label, ax):
    """Training and validation loss of the networks of a cell."""
    for seed, curve in epochs[epochs["label"] == label].groupby("seed"):
        words = ("training", "validation") if seed == 0 else (None, None)
        ax.plot(curve["epoch"], curve["train_loss"], color="#0072B2", label=words[0])
        ax.plot(curve["epoch"], curve["validation_loss"], color="#D55E00", linestyle="--", label=words[1])
    ax.set(title=label, xlabel="epoch")
    ax.set_ylim(bottom=0)


fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for label, ax in zip(("4x64 relu, 30 epochs", "16x64 sigmoid"), axes, strict=True):
    draw_losses(label, ax)
axes[0].set_ylabel("loss, nats (a line per seed)")
axes[0].legend()
plt.show()

# %% [markdown]
# On the left the training loss falls on while the validation loss turns: from there on the network learns its
# training digits by heart. On the right nothing happens at all. Such a network is called **collapsed**: it ended, but
# it knows no more than guessing. What does it say?

# %%
collapsed = runs.loc[(runs["label"] == "16x64 sigmoid") & (runs["seed"] == 0), "run"].item()
predictions = mnistlab.open_store(STORE).predictions(collapsed).query("part == 'test'")
display(mnistlab.show(collapsed))
predictions["predicted"].value_counts().rename("digits").to_frame()

# %% [markdown]
# A collapsed network is counted, not averaged away: see the column `trained` of its row above, and the mark off the
# scale in figures.
#
# **Exercise 7.** Its loss stays near a number you can compute: that of a network which gives each of the ten classes
# a tenth. Its accuracy is the share of one class. Check both.

# %% tags=["exercise"]
# loss, accuracy = ...

# %% tags=["solution"]
loss, said = -np.log(1 / 10), predictions["predicted"].iloc[0]
share = (predictions["label"] == said).mean()
last = epochs[epochs["run"] == collapsed].iloc[-1]
print(f"loss {loss:.3f}, at the end {last['validation_loss']:.3f}")
print(f"{share:.2%} of the test digits are a {said}; accuracy {predictions['correct'].mean():.2%}")
assert share == predictions["correct"].mean()
assert abs(loss - last["validation_loss"]) < 0.01

# %% [markdown]
# **Exercise 8.** In which epoch does each network of `4x64 relu, 30 epochs` have its lowest validation loss? How many
# epochs were spent behind it?

# %% tags=["exercise"]
# best_epoch = ...

# %% tags=["solution"]
curves = epochs[epochs["label"] == "4x64 relu, 30 epochs"]
lowest = curves.loc[curves.groupby("seed")["validation_loss"].idxmin()].set_index("seed")["epoch"]
spent = curves["epoch"].max() - lowest
assert (lowest < curves["epoch"].max()).all()
pd.DataFrame({"lowest validation loss in epoch": lowest, "epochs behind it": spent})

# %% [markdown]
# ## Where to go on
#
# - `analysis`, the second notebook: which differences are real, what they cost, and a small study of your own.
# - `mnistlab run lab --budget 10m` trains the lab on your machine; then name your store in the first cell of code.
# - `mnistlab report lab` writes everything into one page.
