"""The 24-hour balance: the cheapest charging plan of the whole fleet within every limit.

Here live the planner and what it works on: instances and plans, the exact solver, its certificate,
the public benchmark. Everything is a function of arrays; no file, clock, thread count or log of its own.

How it works. At fixed caps of the regions' loads the problem is a flow on a tree of capacities (region,
feeder, cabinet) and time. Each cabinet's possible plans form a generalised polymatroid, so greed is
exact: one walk per cabinet for given prices (``greedy``), and for the limits they share, blocking flow
on an exchange graph of intervals (``network``, ``exchange``), from the cheapest price on. Sets of
intervals are machine words (``bits``), so that a search over all cabinets is a few word operations
each. ``region`` finds the cap that pays, ``bound`` proves how good the plan is by prices on the limits,
``solve`` does it for all regions side by side.

From riders to instances: ``forecast`` (swaps to come, and how sure that is), ``service`` (packs to
keep in stock), ``promise`` and ``mirror`` (what a lost swap is worth, by what charging at once would
lose), ``envelopes`` and ``jobs`` (what each cabinet must and may charge), ``needs`` (all of it, as fleet
and closed loop both decide). From plans back to
people: ``rush`` (sites that run out), ``margin`` (what a swap more would cost, for offers to riders),
``moves`` (full packs to carry where charging cannot keep up).

What must not live here: files, clocks, the loop that runs it.
"""
