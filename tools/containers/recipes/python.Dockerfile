# Python's image, for our Dockerfile: Debian's Python under the names that the published image has.
FROM platform-stand-in:base
COPY pip /etc/pip
RUN ln -s /etc/pip/pip.conf /etc/pip.conf \
    && ln -s /usr/bin/python3 /usr/local/bin/python \
    && rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
CMD ["python"]
