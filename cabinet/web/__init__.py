"""The local status page, /metrics and /healthz of one cabinet. Shows; never decides."""
