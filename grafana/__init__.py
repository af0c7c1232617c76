"""Make the dashboards: python -m grafana.generate."""

import warnings

with warnings.catch_warnings():
    # The SDK would rather have the second schema of dashboards, which Grafana 11 cannot load. What warns when it is
    # imported is imported here, once.
    warnings.simplefilter("ignore", DeprecationWarning)
    import grafana_foundation_sdk.builders.dashboard
    import grafana_foundation_sdk.builders.prometheus  # noqa: F401
