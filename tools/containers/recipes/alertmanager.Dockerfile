# Alertmanager's image: /alertmanager is a volume, user nobody, busybox.
FROM platform-stand-in:base
RUN (busybox --install -s || true); install -d -o 65534 -g 65534 /alertmanager /etc/alertmanager
USER 65534
VOLUME /alertmanager
WORKDIR /alertmanager
ENTRYPOINT ["/usr/bin/prometheus-alertmanager"]
