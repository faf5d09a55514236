"""Serial frames that are not Modbus: bytes in, values out, no I/O."""
