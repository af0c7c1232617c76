# The exporter, its command line and the receiver of notifications, in one image.
# Tags, and where each was seen: docs/docker.md.

FROM python:3.13.9-slim-trixie AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY sdk sdk
COPY exporter exporter
COPY alertmanager/routes.yml alertmanager/routes.yml
COPY grafana/dashboards grafana/dashboards
COPY prometheus/rules prometheus/rules
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels ./sdk . \
    && python -m venv --without-pip /opt/platform-exporter \
    # Only wheels: a dependency without one would need a compiler, and this stage has none either.
    && pip --python /opt/platform-exporter/bin/python install --no-cache-dir --only-binary :all: /wheels/*.whl

FROM python:3.13.9-slim-trixie
LABEL org.opencontainers.image.title="platform-exporter" \
      org.opencontainers.image.description="Prometheus exporter for web and scraping platforms: exact counters from PostgreSQL events, health probes" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/platform-exporter/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
# The user has a name because libpq looks for one; the folders are where volumes take their owner from.
RUN groupadd --gid 10001 platform \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/platform-exporter --shell /usr/sbin/nologin platform \
    && install -d -o 10001 -g 10001 \
        /etc/platform-exporter \
        /var/lib/platform-exporter \
        /var/lib/platform-exporter/alerts \
        /var/lib/platform-exporter/notifications \
        /var/lib/platform-exporter/state \
        /var/lib/platform-exporter/prometheus
COPY --from=build /opt/platform-exporter /opt/platform-exporter
COPY deploy/docker/healthcheck.py /opt/platform-exporter/healthcheck.py
USER 10001:10001
WORKDIR /var/lib/platform-exporter
EXPOSE 9847
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "/opt/platform-exporter/healthcheck.py", "http://127.0.0.1:9847/-/healthy"]
ENTRYPOINT ["platform-exporter"]
CMD ["serve", "--config", "/etc/platform-exporter/platform-exporter.yml", "--listen", "0.0.0.0:9847", \
     "--web.allowed-host", "exporter", "--web.allowed-host", "platform-exporter"]
