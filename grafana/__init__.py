"""The dashboards, made by python -m grafana.generate."""

import warnings

with warnings.catch_warnings():
    # The SDK prefers the second schema of dashboards, which Grafana 11 cannot load, and warns about the first:
    # it is imported here, once.
    warnings.simplefilter("ignore", DeprecationWarning)
    import grafana_foundation_sdk.builders.dashboard
    import grafana_foundation_sdk.builders.prometheus  # noqa: F401
