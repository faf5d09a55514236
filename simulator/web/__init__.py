"""The simulator's web page: the third face of the control API, beside commands and terminal."""
