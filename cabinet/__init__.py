"""cabinetd: the asyncio daemon that drives one battery-swap cabinet.

``core`` decides, ``adapters`` and ``runtime`` touch the world, ``web`` shows. Fleet and simulator
are never imported here.
"""
