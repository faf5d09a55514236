"""Pure decisions: an event and a time go in, actions come out.

No I/O, no clock, no logging, no asyncio lives here; storage stands behind ports. What crosses the
border to the shell is declared in ``model``.
"""
