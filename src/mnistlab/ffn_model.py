"""Specification → scikit-learn's `MLPClassifier`. The one place where our words become its parameters."""

from typing import Any, Self

import numpy as np
from sklearn.neural_network import MLPClassifier

from mnistlab.errors import InvalidFieldError
from mnistlab.spec import MAX_DEPTH, Architecture, Cell

_ACTIVATIONS = {"relu": "relu", "sigmoid": "logistic", "tanh": "tanh"}


class InputCheckedClassifier(MLPClassifier):
    """An `MLPClassifier` that knows how many features it was made for and says so at `fit`."""

    def __init__(self, input_dim: int | None = None, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.input_dim = input_dim

    @classmethod
    def _get_param_names(cls) -> list[str]:
        # scikit-learn reads parameter names from the signature; repeating its twenty-four here would age.
        return sorted(["input_dim", *MLPClassifier._get_param_names()])

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """`MLPClassifier.fit` after checking the number of columns; ValueError when it is not `input_dim`."""
        columns = np.shape(X)[1] if np.ndim(X) == 2 else None
        if self.input_dim is not None and columns is not None and columns != self.input_dim:
            raise ValueError(f"X has {columns} features; this model was created for input_dim={self.input_dim}")
        return super().fit(X, y, sample_weight)


def create_ffn_model(input_dim: int, hidden_layers: int, nodes_per_layer: int) -> InputCheckedClassifier:
    """A feed-forward network of equal layers: `MLPClassifier`, relu, Adam, at most 200 iterations, random state 42.

    Parameters
    ----------
    input_dim : int
        Number of features; checked at `fit`.
    hidden_layers : int
        Number of hidden layers, at least 1.
    nodes_per_layer : int
        Width of each, at least 1.

    Raises
    ------
    ValueError
        A count below 1 or not a whole number.
    """
    if isinstance(input_dim, bool) or not isinstance(input_dim, int | np.integer) or input_dim < 1:
        raise InvalidFieldError("input_dim", input_dim, "a whole number of at least 1 is needed")
    if isinstance(hidden_layers, bool) or not isinstance(hidden_layers, int) or not 1 <= hidden_layers <= MAX_DEPTH:
        raise InvalidFieldError("hidden_layers", hidden_layers, f"a whole number from 1 to {MAX_DEPTH} is needed")
    layers = Architecture((nodes_per_layer,) * hidden_layers)
    return InputCheckedClassifier(
        input_dim=int(input_dim), hidden_layer_sizes=layers.hidden_layer_sizes, activation="relu", solver="adam",
        max_iter=200, random_state=42,
    )  # fmt: skip


def classifier_parameters(cell: Cell, seed: int) -> dict[str, Any]:
    """The constructor's arguments of the `MLPClassifier` a cell and a seed ask for.

    L2 is mapped from λ·Σw² to scikit-learn's α/2·Σw²/n with n the batch size: α = 2·n·λ. It divides by the length of
    the last, shorter batch there, so that batch is regularised a little more.
    """
    training = cell.training
    return {
        "hidden_layer_sizes": cell.architecture.hidden_layer_sizes,
        "activation": _ACTIVATIONS[cell.architecture.activations[0]],
        "solver": training.optimizer,
        "learning_rate_init": training.learning_rate,
        "momentum": training.momentum,
        "nesterovs_momentum": False,
        "epsilon": training.epsilon,
        "alpha": 2 * training.batch_size * training.l2,
        "batch_size": training.batch_size,
        "max_iter": training.epochs,
        "tol": training.tol if training.tol is not None else 0.0,
        "n_iter_no_change": 10 if training.tol is not None else np.inf,
        "random_state": seed,
    }


def differences_from_keras(cell: Cell) -> tuple[str, ...]:
    """What `MLPClassifier` does otherwise than Keras under the same specification, for the run's record."""
    gain = 2 if cell.architecture.activations[0] == "sigmoid" else 6
    told = [
        f"initial weights and biases uniform within sqrt({gain}/(fan_in+fan_out)); Keras: weights gain 6, biases zero",
        "initialisation and batch order from one random_state, not from the streams Keras cells share",
    ]
    if cell.training.l2:
        told.append("L2 divided by the length of each batch, so the last, shorter batch is regularised more")
    if cell.training.tol is not None:
        told.append("stops when the training loss has not fallen by tol for more than 10 epochs; last weights kept")
    return tuple(told)
