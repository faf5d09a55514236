# A whole cabinet to try things on: swapsim's wires and a real cabinetd on them. Not for production.
#   docker build --file deploy/docker/simulator.Dockerfile --tag yizhan-simulator .
FROM python:3.11.13-slim-bookworm AS build
RUN pip install --no-cache-dir uv==0.8.4
WORKDIR /src
ENV UV_PROJECT_ENVIRONMENT=/opt/yizhan UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --frozen --no-cache --no-install-project --extra cabinet --extra simulator
COPY protocols protocols
COPY cabinet cabinet
COPY fleet fleet
COPY simulator simulator
RUN uv sync --frozen --no-cache --no-editable --extra cabinet --extra simulator

FROM python:3.11.13-slim-bookworm
RUN groupadd --gid 10002 cabinetd \
    && useradd --uid 10002 --gid 10002 --home-dir /var/lib/yizhan --shell /usr/sbin/nologin cabinetd \
    && install -d -m 0700 -o cabinetd -g cabinetd /var/lib/yizhan /run/yizhan
COPY --from=build /opt/yizhan /opt/yizhan
COPY --chmod=0755 deploy/docker/try.sh /usr/local/bin/try
ENV PATH=/opt/yizhan/bin:$PATH PYTHONUNBUFFERED=1
USER 10002:10002
VOLUME ["/var/lib/yizhan"]
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=5)"]
ENTRYPOINT ["try"]
