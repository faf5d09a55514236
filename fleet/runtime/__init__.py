"""The running fleet: ingest, command sender, hub. Rules live in ``core``, SQL in ``store``."""
