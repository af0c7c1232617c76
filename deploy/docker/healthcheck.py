"""Exit 0 where every URL given answers with status 200, 1 otherwise: the health check of an image without curl."""

import sys
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

TIMEOUT_SECONDS = 2


def main(urls: list[str]) -> int:
    """Return the exit status; say on stderr which URL failed and how. Blocks for up to 2 s a URL."""
    opener = build_opener(ProxyHandler({}))  # a proxy in the environment is for others, not for this machine
    for url in urls:
        try:
            with opener.open(url, timeout=TIMEOUT_SECONDS) as answer:
                answer.read(1)
        except (URLError, OSError) as error:
            sys.stderr.write(f"{url}: {error}\n")  # `docker inspect` shows it
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if len(sys.argv) > 1 else 2)
