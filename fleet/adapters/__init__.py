"""Library shells of the fleet: MQTT, embedded broker, signing key, clock, SMS senders."""
