"""Pure decisions of the fleet: ledger rules, ingest order, login rules.

No I/O, no clock, no logging, no asyncio, no SQL lives here.
"""
