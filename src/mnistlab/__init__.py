"""Which multilayer perceptron to use on MNIST-like images, what every knob buys and costs, and how sure one can be."""

__version__ = "0.1.0"
