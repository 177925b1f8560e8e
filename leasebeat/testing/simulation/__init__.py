"""The simulation ring: the shipped node on virtual time, a simulated store, and faults drawn from a seed."""
