"""Make the connection string that the writer uses, with the addresses of its hosts looked up."""

import hashlib

from platform_sdk.libpq import driver
from platform_sdk.libpq.addresses import resolved
from platform_sdk.options import Options


def connection_string(options: Options) -> str:
    """Return libpq's key-value string. Raises psycopg.ProgrammingError (malformed DSN) or socket.gaierror."""
    driver.load()
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    parameters = conninfo_to_dict(options.dsn)
    if options.password:
        parameters["password"] = options.password
    parameters.setdefault("application_name", f"platform-sdk {options.app}"[:60])
    parameters["client_encoding"] = "UTF8"
    return make_conninfo("", **resolved(parameters))


def destination(options: Options) -> str:
    """Return a short text that is the same for all processes of one application that write to one database."""
    try:
        driver.load()
        from psycopg.conninfo import conninfo_to_dict

        parameters = conninfo_to_dict(options.dsn)
        parts = [str(parameters.get(key) or "") for key in ("host", "hostaddr", "port", "dbname")]
    except Exception:  # noqa: BLE001 - psycopg missing or the DSN malformed: events are kept until that is mended
        parts = [options.dsn]
    return hashlib.sha256("\0".join((*parts, options.app)).encode("utf-8", "replace")).hexdigest()[:16]
