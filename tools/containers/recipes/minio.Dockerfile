# What deploy/docker/minio/Dockerfile builds, with this machine's MinIO.
FROM platform-stand-in:base
RUN install -d -o 10002 -g 10002 /data && (busybox --install -s || true)
COPY minio /usr/local/bin/minio
ENV HOME=/tmp
USER 10002:10002
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:9000/minio/health/live"]
ENTRYPOINT ["minio"]
CMD ["server", "--quiet", "--address", ":9000", "/data"]
