"""The adaptive normalizing flow: actions, flow, training, sampling, observables, analog layers."""
