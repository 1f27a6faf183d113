"""The training loop, which knows no task: epochs, the best epoch, history, resume."""
