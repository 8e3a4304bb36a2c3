"""What an encoder is: the protocol, specs, states, and targets that name an encoder."""
