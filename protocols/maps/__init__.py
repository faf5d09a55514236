"""Register maps, one module per device type: data only."""
