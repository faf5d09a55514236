-- Roles of the fleet's database, least privilege each. As a superuser, once:
--   psql --set=password="$(cat fleet-db-password)" --file=roles.sql
-- Running it again changes nothing but the password.
\set ON_ERROR_STOP on

-- fleetd owns its database, since it migrates it, and nothing else on this server.
SELECT 'CREATE ROLE fleetd LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fleetd') \gexec
ALTER ROLE fleetd NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 20
  PASSWORD :'password';
SELECT 'CREATE DATABASE fleet OWNER fleetd' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'fleet') \gexec
-- For `fleetd drill --scratch`: made anew before each drill, see README.md.
SELECT 'CREATE DATABASE fleet_drill OWNER fleetd' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'fleet_drill') \gexec
REVOKE ALL ON DATABASE fleet, fleet_drill FROM PUBLIC;
-- An acknowledgement means that the event is on the disk, whatever the server's default.
ALTER ROLE fleetd IN DATABASE fleet SET synchronous_commit = on;
ALTER ROLE fleetd IN DATABASE fleet SET idle_in_transaction_session_timeout = '60s';
ALTER ROLE fleetd IN DATABASE fleet SET lock_timeout = '30s';

-- Reports and people with questions: reads, never writes, and not for ever.
SELECT 'CREATE ROLE fleet_read NOLOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fleet_read') \gexec
ALTER ROLE fleet_read SET default_transaction_read_only = on;
ALTER ROLE fleet_read SET statement_timeout = '60s';
GRANT CONNECT ON DATABASE fleet TO fleet_read;

\connect fleet
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO fleetd;
GRANT USAGE ON SCHEMA public TO fleet_read;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO fleet_read;
-- Tables that a later migration makes, too.
ALTER DEFAULT PRIVILEGES FOR ROLE fleetd IN SCHEMA public GRANT SELECT ON TABLES TO fleet_read;
\connect fleet_drill
GRANT USAGE, CREATE ON SCHEMA public TO fleetd;
