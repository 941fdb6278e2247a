"""What the models that learn by gradient descent share: the training loop, held-out likes, batches."""
