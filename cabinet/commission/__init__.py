"""Commissioning: the technician's commands, from an unknown wire to a signed report.

What is asked, what an answer means and what to do next is decided in ``cabinet.core.commission``;
here are ports, files and the terminal.
"""
