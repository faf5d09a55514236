"""Schema migrations, run by ``fleet.store.engine.Database.migrate`` at start."""
