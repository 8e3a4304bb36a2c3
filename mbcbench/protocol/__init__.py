"""Definition of an encoder: the protocol, specs, states, and targets that name an encoder."""
