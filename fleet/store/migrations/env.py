"""Alembic's entry: runs the migrations on the connection that ``Database.migrate`` hands over."""

from __future__ import annotations

from alembic import context

from fleet.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by rebuilding it
    transactional_ddl=True,
)
context.run_migrations()
