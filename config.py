# config.py
# `mnistlab run config.py` trains it: every list is a factor, a single value is fixed; docs/using.md explains the keys.
CONFIG = {
    'data': {
        'train_test_splits': [0.6, 0.75, 0.8, 0.9],
        'batch_size': 32,
        'validation_split': 0.1
    },
    'model': {
        'node_counts': [4, 32, 64, 128, 512, 2056],
        'layer_depths': [4, 5, 6, 8, 16],
        'activations': ['relu', 'sigmoid', 'tanh']
    },
    'training': {
        'epochs': 50,
        'early_stopping_patience': 5,
        'learning_rate': 0.001
    }
}
