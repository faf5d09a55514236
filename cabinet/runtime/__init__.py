"""The pumps: one task owns one serial line, one pump owns the journal, one supervisor owns them all.

Decisions live in ``core``; drivers and libraries live in ``adapters``.
"""
