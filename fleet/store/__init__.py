"""SQLAlchemy tables, queries and Alembic migrations. No rule is decided here."""
