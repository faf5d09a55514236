"""The store's schema: one SQL file per version, applied in order and never changed afterwards."""
