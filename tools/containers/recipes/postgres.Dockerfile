# PostgreSQL's image: /var/lib/postgresql is a volume, user 999, an entrypoint that makes the cluster.
FROM platform-stand-in:base
RUN userdel postgres && groupadd --force --gid 999 postgres && useradd --uid 999 --gid 999 --home-dir /var/lib/postgresql postgres \
    && rm -rf /var/lib/postgresql && install -d -o 999 -g 999 /var/lib/postgresql
ENV PATH=/usr/lib/postgresql/17/bin:$PATH PGDATA=/var/lib/postgresql/18/docker
COPY entrypoint.sh /usr/local/bin/docker-entrypoint.sh
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
EXPOSE 5432
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
