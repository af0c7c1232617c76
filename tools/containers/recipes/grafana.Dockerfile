# Grafana's image, with this machine's Grafana: user 472, /run.sh, no volume declared.
FROM platform-stand-in:base
RUN (busybox --install -s || true); useradd --uid 472 --gid 0 --home-dir /usr/share/grafana grafana \
    && install -d -o 472 -g 0 /var/lib/grafana /var/log/grafana /etc/grafana
COPY home /usr/share/grafana
COPY entrypoint.sh /run.sh
RUN cp /usr/share/grafana/conf/sample.ini /etc/grafana/grafana.ini
ENV PATH=/usr/share/grafana/bin:$PATH \
    GF_PATHS_CONFIG=/etc/grafana/grafana.ini \
    GF_PATHS_DATA=/var/lib/grafana \
    GF_PATHS_HOME=/usr/share/grafana \
    GF_PATHS_LOGS=/var/log/grafana \
    GF_PATHS_PLUGINS=/var/lib/grafana/plugins \
    GF_PATHS_PROVISIONING=/etc/grafana/provisioning
USER 472
WORKDIR /usr/share/grafana
EXPOSE 3000
ENTRYPOINT ["/run.sh"]
