"""A trial of one's own: randomised blocks with and without stimulation, sealed before the start."""
