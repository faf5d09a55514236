"""Drivers and library shells: pymodbus, pyserial, sqlite3, aiomqtt and the clock stop here.

No decision about doors, packs or watts is taken here.
"""
