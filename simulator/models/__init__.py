"""Pure physics: no clock, no I/O. Time comes in through ``advance(dt_s)``; a seed fixes the rest."""
