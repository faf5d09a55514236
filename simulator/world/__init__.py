"""Seeded worlds around the real cores, under virtual time.

``swapsim fuzz`` runs the cabinet's act loop, journal rows, recovery and delivery
(``cabinet.core``) and the fleet's ingest, ledger and command lanes (``fleet.core``) in one process.
Everything outside of those cores is modelled here: packs, doors, sensors, riders' hands, the disk,
the broker, and what goes wrong with each. One ``random.Random(seed)`` decides all of it, so that
the same seed gives the same run, byte for byte.

``swapsim day`` (the ``day*`` modules) plays days of many cabinets at once, on arrays: what a charging
policy costs and whom it turns away. Its cabinets spread power by a twin of ``cabinet.core.charge``.

This package alone may import ``cabinet.core`` and ``fleet.core``, and nothing else of theirs. What
it must do as their shells do, it does in the same order: ``node`` as ``cabinet.runtime.pump`` and
``uplink``, ``fleet`` as ``fleet.runtime.ingest`` and ``commands`` over ``fleet.store``.
"""
