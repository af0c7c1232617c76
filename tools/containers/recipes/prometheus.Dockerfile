# Prometheus's image: /prometheus is a volume, user nobody, busybox.
FROM platform-stand-in:base
RUN (busybox --install -s || true); rm -rf /etc/prometheus; install -d -o 65534 -g 65534 /prometheus /etc/prometheus
USER 65534
VOLUME /prometheus
WORKDIR /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]
