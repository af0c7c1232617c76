# redis_exporter's image, of the kind with wget: user 59000.
FROM platform-stand-in:base
RUN busybox --install -s || true
USER 59000:59000
EXPOSE 9121
ENTRYPOINT ["/usr/bin/prometheus-redis-exporter"]
