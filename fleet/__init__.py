"""fleetd: ingest, custody ledger, REST, rider and operator pages of the whole fleet.

``core`` decides, ``store`` keeps, ``adapters`` and ``runtime`` touch the world, ``web`` shows.
Cabinet and simulator are never imported here.
"""
