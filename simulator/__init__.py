"""swapsim: virtual cabinets on real wires.

Physics in ``models`` is pure; the frame server speaks bytes on ptys and TCP. Cabinet and fleet are
never imported here.
"""
