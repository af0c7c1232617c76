# postgres_exporter's image: user nobody, busybox.
FROM platform-stand-in:base
RUN busybox --install -s || true
USER 65534
EXPOSE 9187
ENTRYPOINT ["/usr/bin/prometheus-postgres-exporter"]
