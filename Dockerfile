# The gateway's workers (default target) and the tools that prepare a trial (target `tools`).
# Envoy and Valkey are not in here: docker-compose.yml runs their official images beside this one.
FROM python:3.11-slim-bookworm AS build
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements/run.txt requirements/
# Hashes are demanded: what was altered on its way is refused.
RUN python -m venv /opt/ostiary/venv \
 && /opt/ostiary/venv/bin/pip install --require-hashes --only-binary :all: -r requirements/run.txt
# The OPA library's metadata asks for a newer Python than it needs (requirements/opa.in).
COPY requirements/opa.txt requirements/
RUN /opt/ostiary/venv/bin/pip install --require-hashes --only-binary :all: --no-deps --ignore-requires-python \
      -r requirements/opa.txt
COPY analysis /opt/ostiary/lib/analysis
COPY authz /opt/ostiary/lib/authz
COPY control /opt/ostiary/lib/control
COPY extproc /opt/ostiary/lib/extproc
COPY gateway /opt/ostiary/lib/gateway
COPY ostiary /opt/ostiary/lib/ostiary
COPY protos /opt/ostiary/lib/protos
COPY policies /opt/ostiary/lib/policies
# The root file system is read-only later, so bytecode is written now; it is never checked against the source.
RUN python -m compileall -q --invalidation-mode unchecked-hash /opt/ostiary

FROM build AS build-tools
COPY requirements/render.txt requirements/
RUN /opt/ostiary/venv/bin/pip install --require-hashes --only-binary :all: -r requirements/render.txt

FROM python:3.11-slim-bookworm AS base
# Envoy and Valkey run as the same user (docker-compose.yml): their sockets are for their owner alone.
RUN groupadd --gid 10001 ostiary \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin ostiary \
 && install -d -o 10001 -g 10001 -m 0700 /var/lib/ostiary \
 && install -d -o 10001 -g 10001 -m 0750 /run/ostiary
ENV PATH=/opt/ostiary/venv/bin:$PATH PYTHONPATH=/opt/ostiary/lib PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /var/lib/ostiary
USER 10001:10001
ENTRYPOINT ["python", "-m", "ostiary"]

FROM base AS tools
COPY --from=build-tools /opt/ostiary /opt/ostiary
CMD ["--help"]

FROM base AS gateway
COPY --from=build /opt/ostiary /opt/ostiary
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=4s --start-period=30s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9464/readyz', timeout=3)"]
CMD ["serve"]
