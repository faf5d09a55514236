"""The frame server: bytes in, bytes out, at the pace of a real line.

A *session* is sans-I/O: it takes what arrived and when, and returns what to send and when. ``pty``
and ``tcp`` carry the bytes.
"""
