"""The simulator's terminal screen: the second face of the control API."""
