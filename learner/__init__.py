"""The learner: Q-network, loss, update, params broadcast. The one role that imports torch."""
