"""What crosses a wire: register maps, serial frames, MQTT topics and messages.

Pure data and pure functions, shared by cabinet, fleet and simulator. Nothing here opens a port,
reads a clock or imports another package of ours.
"""
