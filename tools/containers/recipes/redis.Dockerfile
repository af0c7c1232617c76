# Redis's image: /data is a volume, user 999.
FROM platform-stand-in:base
RUN rm -rf /etc/redis && install -d -o 999 -g 999 /data
VOLUME /data
WORKDIR /data
EXPOSE 6379
CMD ["redis-server"]
