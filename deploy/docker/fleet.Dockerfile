# fleetd. From the root of the checkout:
#   docker build --file deploy/docker/fleet.Dockerfile --tag yizhan-fleet .
FROM python:3.11.13-slim-bookworm AS build
RUN pip install --no-cache-dir uv==0.8.4
WORKDIR /src
ENV UV_PROJECT_ENVIRONMENT=/opt/yizhan UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
# The packages first: they change seldom, and every one is what uv.lock says.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --frozen --no-cache --no-install-project --extra fleet
COPY protocols protocols
COPY cabinet cabinet
COPY fleet fleet
COPY simulator simulator
RUN uv sync --frozen --no-cache --no-editable --extra fleet

FROM python:3.11.13-slim-bookworm
# pg_dump and pg_restore for `fleetd backup` and `fleetd drill`: of the server's version, see compose.yml.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-client-15 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 fleetd \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/yizhan-fleet --shell /usr/sbin/nologin fleetd \
    && install -d -m 0700 -o fleetd -g fleetd /var/lib/yizhan-fleet /var/cache/yizhan-fleet /var/backups/yizhan \
    && install -d -m 0750 -o fleetd -g fleetd /broker
COPY --from=build /opt/yizhan /opt/yizhan
COPY deploy/docker/fleet.toml /etc/yizhan/fleet.toml
ENV PATH=/opt/yizhan/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FLEETD_CONFIG=/etc/yizhan/fleet.toml \
    NUMBA_CACHE_DIR=/var/cache/yizhan-fleet \
    MPLCONFIGDIR=/var/cache/yizhan-fleet
USER 10001:10001
VOLUME ["/var/lib/yizhan-fleet"]
EXPOSE 8080 8443
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 CMD ["fleetd", "health"]
ENTRYPOINT ["fleetd"]
CMD ["run"]
