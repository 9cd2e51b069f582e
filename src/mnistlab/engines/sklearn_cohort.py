"""scikit-learn networks as members of a cohort: the steps of `MLPClassifier`'s Adam, as functions of arrays.

How a run begins, in which order it sees its examples and when `tol` stops it is asked of a real `MLPClassifier`; only
the step itself is written here (sklearn/neural_network/_multilayer_perceptron.py and _stochastic_optimizers.py, 1.9).
"""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier
from sklearn.utils import shuffle

from mnistlab.engines.cohort import Cohorts
from mnistlab.engines.compiled import State
from mnistlab.engines.sklearn_engine import softmax_layer, weights_of
from mnistlab.ffn_model import classifier_parameters, differences_from_keras
from mnistlab.preprocessing import PreparedData
from mnistlab.spec import Cell, Run

_ACTIVATIONS = {"relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh}


class _Untrained(MLPClassifier):
    """What `MLPClassifier.fit` is before its first step: weights drawn, nothing learned."""

    def _fit_stochastic(self, *arguments: Any) -> None:
        pass

    def ends_epoch(self, train_loss: float) -> bool:
        """Take in the loss of an epoch; whether scikit-learn's own rule ends the training."""
        self.loss_ = train_loss
        self.loss_curve_.append(train_loss)
        self._update_no_improvement_count(False, None, None, None)
        return bool(self._no_improvement_count > self.n_iter_no_change)


class _SklearnMember:
    """A run of scikit-learn at its start: weights, then order from one random state, as `fit` draws them."""

    def __init__(self, run: Run, data: PreparedData, dtype: np.dtype[Any]) -> None:
        self._model, self._dtype = (model := _untrained(run, data, dtype)), dtype
        self._positions = np.arange(len(data.train))
        trained = np.zeros(data.n_classes, dtype)
        trained[model.classes_[-model.n_outputs_ :]] = 1  # of two classes only the second has weights
        weights = [*weights_of(model)[:-2], *softmax_layer(model, data.n_classes)]
        moments = [np.zeros_like(array) for array in weights]
        self.state = weights, moments, moments, np.asarray(model.alpha, dtype), trained

    def order(self) -> NDArray[np.integer[Any]]:
        self._positions = shuffle(self._positions, random_state=self._model._random_state)
        return self._positions

    def rates(self, first: int, count: int) -> NDArray[np.floating[Any]]:
        model, steps = self._model, np.arange(first + 1, first + count + 1)
        rates = model.learning_rate_init * np.sqrt(1 - model.beta_2**steps) / (1 - model.beta_1**steps)
        return rates.astype(self._dtype)

    def stops(self, train_loss: float) -> bool:
        return self._model.ends_epoch(train_loss)


class SklearnShape:
    """See `Shape`. A state holds kernels and biases, Adam's first and second moments of them, alpha, and which columns
    of the last layer are trained.

    The last layer has a column for every class of the data set, so that members may have seen different classes: see
    `softmax_layer`. Columns that scikit-learn does not have are left as they began. How many steps were taken shows in
    the step size alone.
    """

    def __init__(self, cell: Cell, data: PreparedData) -> None:
        if cell.training.optimizer != "adam":
            raise ValueError(f"cohorts of scikit-learn train by adam, not by {cell.training.optimizer}")
        self.dtype = np.dtype(jnp.result_type(float))  # float32, unless JAX is told to compute in double precision
        self._activation = _ACTIVATIONS[cell.architecture.activations[0]]
        self._has_l2, self._n_classes = cell.training.l2 > 0, data.n_classes
        parameters = MLPClassifier(**classifier_parameters(cell, 0))
        self._betas, self._epsilon = (parameters.beta_1, parameters.beta_2), parameters.epsilon

    def begin(self, run: Run, data: PreparedData) -> _SklearnMember:
        """See `Shape.begin`."""
        return _SklearnMember(run, data, self.dtype)

    def step(self, state: State, rate: Any, X: Any, y: Any) -> tuple[State, Any]:
        """See `Shape`."""
        weights, first, second, alpha, trained = state
        truth = jax.nn.one_hot(y, self._n_classes, dtype=self.dtype)
        outputs, backward = jax.vjp(lambda weights: self._outputs(weights, X), weights)
        found = jax.nn.softmax(outputs)
        # The gradient is that of the loss before it is clipped, as scikit-learn has it.
        [gradients] = backward((found - truth) * trained / len(X))
        loss = _log_loss(found, truth)
        if self._has_l2:
            kernels = weights[::2]
            gradients[::2] = [g + alpha / len(X) * W for g, W in zip(gradients[::2], kernels, strict=True)]
            loss += 0.5 * alpha * sum((W**2).sum() for W in kernels) / len(X)
        beta_1, beta_2 = self._betas
        first = [beta_1 * m + (1 - beta_1) * g for m, g in zip(first, gradients, strict=True)]
        second = [beta_2 * v + (1 - beta_2) * g**2 for v, g in zip(second, gradients, strict=True)]
        weights = [w - rate * m / (jnp.sqrt(v) + self._epsilon)
                   for w, m, v in zip(weights, first, second, strict=True)]  # fmt: skip
        return (weights, first, second, alpha, trained), loss

    def predict(self, state: State, X: Any) -> Any:
        """See `Shape`."""
        return jax.nn.softmax(self._outputs(state[0], X))

    def weights(self, state: State) -> list[NDArray[Any]]:
        """See `Shape.weights`."""
        *hidden, kernel, bias = self.layers(state)
        trained = np.asarray(state[-1]) > 0
        return [*hidden, kernel[:, trained], bias[trained]]

    def layers(self, state: State) -> list[NDArray[Any]]:
        """See `Shape.layers`."""
        return [np.asarray(array) for array in state[0]]

    def _outputs(self, weights: list[Any], X: Any) -> Any:
        *hidden, kernel, bias = weights
        for W, b in zip(hidden[::2], hidden[1::2], strict=True):
            X = self._activation(X @ W + b)
        return X @ kernel + bias


class SklearnCohorts(Cohorts):
    """Trains scikit-learn networks as cohorts: those whose optimizer is Adam."""

    framework = "sklearn"
    make_shape = SklearnShape
    differences = staticmethod(differences_from_keras)


def fitted_classifier(
    run: Run, data: PreparedData, layers: Sequence[NDArray[Any]], train_losses: Iterable[float]
) -> MLPClassifier:
    """The `MLPClassifier` that `fit` would have left behind.

    Parameters
    ----------
    run : Run
    data : PreparedData
        What it was trained on.
    layers : sequence of float arrays
        Kernel and bias of every layer, the last with a column for every class of the data set: `Shape.layers` of a
        member's state, or the arrays of the dense stages of a result's network.
    train_losses : iterable of float
        By epoch.

    Returns
    -------
    MLPClassifier
        Fitted; it predicts, scores and can be pickled. Adam's moments are not kept.
    """
    begun = _untrained(run, data, layers[0].dtype)
    for loss in train_losses:
        begun.ends_epoch(loss)
    *hidden, kernel, bias = layers
    columns = begun.classes_[-begun.n_outputs_ :]
    weights = [*hidden, kernel[:, columns], bias[columns]]
    model = MLPClassifier(**classifier_parameters(run.cell, run.seed))
    vars(model).update(vars(begun), coefs_=weights[::2], intercepts_=weights[1::2])
    model.n_iter_ = len(model.loss_curve_)
    model.t_ = model.n_iter_ * len(data.train)
    return model


def _untrained(run: Run, data: PreparedData, dtype: np.dtype[Any]) -> _Untrained:
    """The run's classifier when `fit` has drawn its weights: of the data that takes width, type and classes alone."""
    classes = np.unique(data.y_train)
    model = _Untrained(**classifier_parameters(run.cell, run.seed))
    return model.fit(np.zeros((len(classes), data.rows.shape[1]), dtype), classes)


def _log_loss(found: Any, truth: Any) -> Any:
    """Mean log loss of a batch; no probability counts as nearer to 0 or 1 than rounding can tell."""
    rounding = jnp.finfo(found.dtype).eps
    return -jnp.log(jnp.clip((found * truth).sum(axis=1), rounding, 1 - rounding)).mean()
